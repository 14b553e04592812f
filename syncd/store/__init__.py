"""The SQLAlchemy adapter: tables, directory, inventory, checkpoints and the run log."""
