"""Read the tenant into the directory."""
