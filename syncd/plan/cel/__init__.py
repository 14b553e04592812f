"""Rules as CEL expressions."""
