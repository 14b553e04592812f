"""The WEBCON BPS adapter: authentication, inventory reader and one idempotent write per change."""
