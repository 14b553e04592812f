"""One database on PostgreSQL for one test after the other, put back between them to what it was at some moment.

A database of its own for each test would cost PostgreSQL twice what most tests ask of it: it is made of a thousand
files, and what a server knows of its tables is found out anew. Here the rows are taken away and those of a moment put
in. Where a test has changed more than rows, the database is thrown away with its moments.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

EMPTY = "kept"
"""The moment at which the database has its schema and no row but what migrations wrote."""

_PREPARE = """
CREATE SCHEMA kept;
CREATE TABLE kept."the sequences" (moment text, name text, value bigint, called boolean);

CREATE FUNCTION kept."keep"(moment text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  each record;
BEGIN
  FOR each IN SELECT relname AS name, relkind AS kind FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
  LOOP
    IF each.kind = 'r' THEN
      EXECUTE format('CREATE TABLE %I.%I AS TABLE public.%I', moment, each.name, each.name);
      IF NOT EXISTS (SELECT FROM pg_class WHERE oid = format('%I.%I', moment, each.name)::regclass
                     AND pg_relation_size(oid) > 0) THEN
        EXECUTE format('DROP TABLE %I.%I', moment, each.name);
      END IF;
    ELSE
      EXECUTE format('INSERT INTO kept."the sequences" SELECT %L, %L, last_value, is_called FROM public.%I',
                     moment, each.name, each.name);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION kept."put back"(moment text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  each record;
BEGIN
  SET LOCAL session_replication_role = replica;  -- in whatever order: no foreign key is looked at
  FOR each IN SELECT relname AS name, pg_relation_size(oid) AS size FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  LOOP
    IF each.size > 262144 THEN
      EXECUTE format('TRUNCATE public.%I CASCADE', each.name);
    ELSIF each.size > 0 THEN
      EXECUTE format('DELETE FROM public.%I', each.name);
    END IF;
  END LOOP;
  FOR each IN SELECT relname AS name FROM pg_class
    WHERE relnamespace = quote_ident(moment)::regnamespace AND relkind = 'r' AND relname <> 'the sequences'
  LOOP
    EXECUTE format('INSERT INTO public.%I SELECT * FROM %I.%I', each.name, moment, each.name);
  END LOOP;
  PERFORM setval(format('public.%I', s.name)::regclass, s.value, s.called)
    FROM kept."the sequences" AS s WHERE s.moment = "put back".moment;
END $$;

CREATE FUNCTION kept."shape"() RETURNS text LANGUAGE sql AS $$
  SELECT md5(string_agg(part, '|' ORDER BY part)) FROM (
    SELECT concat(c.oid, c.relname, c.relkind, c.relacl, c.relrowsecurity, c.relowner, c.reloptions)
      FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat(a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attacl)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat('t', t.oid, t.tgenabled) FROM pg_trigger t
    UNION ALL SELECT concat('k', k.oid, k.convalidated) FROM pg_constraint k
    UNION ALL SELECT concat('i', i.indexrelid, i.indisvalid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
      WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat('p', p.oid) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat('n', n.nspacl) FROM pg_namespace n WHERE n.nspname = 'public'
    UNION ALL SELECT concat('s', s.setdatabase, s.setrole, s.setconfig) FROM pg_db_role_setting s
    UNION ALL SELECT concat('d', d.datacl, d.datallowconn, d.datconnlimit) FROM pg_database d
      WHERE d.datname = current_database()
  ) AS parts (part)
$$;
"""


@dataclass
class KeptDatabase:
    """A database on the server of ``server_url``, made of ``template`` when it is first needed."""

    server_url: str
    template: str
    moments: set[str] = field(default_factory=set)
    """What it can be put back to, beside `EMPTY`."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _name: str | None = None
    _shape: str | None = None

    @contextmanager
    def lend(self, moment: str = EMPTY) -> Iterator[str]:
        """Give the URL of the database as it was at that moment, empty where that moment is not kept any more.

        Afterwards nobody is connected to it.
        """
        if self._name is None or not self._put_back(moment if moment in self.moments else EMPTY):
            self._make_anew()
        name = self._name
        assert name is not None
        try:
            yield make_url(self.server_url).set(database=name).render_as_string(hide_password=False)
        finally:
            with self._connect("postgres") as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name]
                )

    def keep(self) -> str:
        """Keep the rows of this moment, and return its name, which no other has."""
        assert self._name is not None
        moment = f"moment_{next(self._numbers)}"
        with self._connect(self._name) as admin:
            admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(moment)))
            admin.execute('SELECT kept."keep"(%s)', [moment])
        self.moments.add(moment)
        return moment

    def _connect(self, database: str) -> psycopg.Connection:
        url = make_url(self.server_url).set(drivername="postgresql", database=database)
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def _put_back(self, moment: str) -> bool:
        """Return whether that could be done: it cannot, where a test has changed more than rows."""
        assert self._name is not None
        try:
            with self._connect(self._name) as admin:
                row = admin.execute('SELECT kept."shape"()').fetchone()
                if row is None or row[0] != self._shape:
                    return False
                admin.execute('SELECT kept."put back"(%s)', [moment])
                return True
        except psycopg.Error:
            return False

    def _make_anew(self) -> None:
        with self._connect("postgres") as admin:
            if self._name is not None:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._name)))
            self.moments.clear()
            self._name = f"t_{secrets.token_hex(8)}"
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            admin.execute(create.format(sql.Identifier(self._name), sql.Identifier(self.template)))
        with self._connect(self._name) as admin:
            admin.execute(_PREPARE)
            admin.execute('SELECT kept."keep"(%s)', [EMPTY])
            row = admin.execute('SELECT kept."shape"()').fetchone()
            self._shape = None if row is None else row[0]
