"""What both imitations share: HTTPS, faults, settings and the ledger of requests."""
