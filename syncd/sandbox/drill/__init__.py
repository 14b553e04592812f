"""Faults played against a synchronisation: what happens, who would have lost or got something, and whether it heals."""
