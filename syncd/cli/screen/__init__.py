"""What people see: tables, progress, streams. The only place that prints."""
