"""Which tenant the store belongs to."""

from __future__ import annotations

from sqlalchemy import exists, select

from syncd.store.db.markers import TENANT, TENANT_NAMES, load_marker, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.schema.tables import source_objects


class TenantBinding(StorePart):
    """Ties the store to one tenant, whatever names the configuration has for it."""

    @in_thread
    def is_tenant_known(self, name: str) -> bool:
        """Return whether the store belongs to the tenant that the configuration calls by this name."""
        return name in load_markers(self._database, TENANT_NAMES).get(TENANT_NAMES, "").split()

    @in_thread
    def bind_tenant(self, tenant: str, name: str) -> str | None:
        """Tie the store to a tenant, which the configuration calls ``name``; return the one that keeps it, if another.

        What is stored of one tenant would be taken for deleted in another: only a store without any of it moves.
        """
        with self._database.transaction() as connection:
            known = load_marker(connection, TENANT)
            if known is not None and known != tenant:
                if connection.scalar(_HAS_OBJECTS):
                    return known
                save_marker(connection, TENANT_NAMES, None)
            names = (load_marker(connection, TENANT_NAMES) or "").split()
            save_marker(connection, TENANT, tenant)
            save_marker(connection, TENANT_NAMES, " ".join(sorted({*names, name})))
        return None


_HAS_OBJECTS = select(exists().select_from(source_objects))
