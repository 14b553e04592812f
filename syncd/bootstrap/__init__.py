"""The composition root: settings in, opened adapters and use cases out. The only place that puts the parts together."""
