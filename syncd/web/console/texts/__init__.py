"""Every text of the console, in one place for each language."""
