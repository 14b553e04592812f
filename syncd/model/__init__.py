"""Pure values that every layer may share: source entities, target records, changes, runs."""
