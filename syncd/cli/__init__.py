"""The command line: one module per command family, and the only place that prints."""
