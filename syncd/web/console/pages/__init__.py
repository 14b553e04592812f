"""The pages of the console, one module each: what is asked of the store, and what the template is given."""
