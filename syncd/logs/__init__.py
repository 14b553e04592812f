"""structlog: JSON or console, redaction, standard-library records through the same pipe."""

from syncd.logs.pipe import bind_run, configure_logs, get_logger

__all__ = ["bind_run", "configure_logs", "get_logger"]
