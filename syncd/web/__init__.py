"""The health endpoint, the metrics and the status page."""
