"""The directory: the stored copy of the tenant, and the bookkeeping of how it is read."""
