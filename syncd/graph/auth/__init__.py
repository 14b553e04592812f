"""Signing in to the tenant: tokens, certificates, and what its refusals mean."""
