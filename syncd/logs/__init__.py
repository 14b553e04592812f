"""structlog: JSON or console, redaction, standard-library records through the same pipe."""
