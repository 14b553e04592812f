"""The desired state: what the rules make of the directory."""
