"""Runs: their records, what they left open, what they must try again, and what the next push looks at."""
