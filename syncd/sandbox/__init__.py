"""An imitation tenant and portal on loopback. It knows only the wire: nothing of graph/ or bps/ is imported here."""
