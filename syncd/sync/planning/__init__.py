"""Make plans: from the directory, from a file, or from an earlier run."""
