"""The drill, put together: this configuration on a copy of the company, against the sandbox."""
