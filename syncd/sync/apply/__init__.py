"""Apply a plan: send its changes in order, and record what became of each."""
