"""The reverse of what was done."""
