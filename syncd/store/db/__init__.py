"""The database itself: engine, transactions, revision, lock, and the SQL that differs by engine."""
