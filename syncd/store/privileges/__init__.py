"""Privileges in the store: the own record, what readings showed, and what names in the rules mean."""
