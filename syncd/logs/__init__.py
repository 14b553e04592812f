"""structlog: JSON or console, redaction, standard-library records through the same pipe."""

from syncd.logs.pipe import configure_logs, get_logger

__all__ = ["configure_logs", "get_logger"]
