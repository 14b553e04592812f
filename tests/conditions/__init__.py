"""Conditions that once went wrong, played against programs: see ``__main__``."""
