"""Plans: their changes, their outcomes, and what they are made from."""
