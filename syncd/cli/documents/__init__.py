"""The documents that ``--json`` prints, declared once: the JSON Schemas of the reference are made from these types."""
