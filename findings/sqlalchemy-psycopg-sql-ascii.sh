#!/bin/sh
# SQLAlchemy 2.1.9 with psycopg 3.3.9: no connection to a database in the encoding SQL_ASCII can be opened at all.
#
# For SQL_ASCII psycopg gives text as bytes. SQLAlchemy's dialect asks for the server's version at the first connection
# and matches the answer with a pattern of text: TypeError, which is no SQLAlchemyError, before the first statement of any
# program. A guess that only texts outside ASCII would suffer is wrong. Asking the server for client_encoding=utf8 in the
# address avoids it.
#
# Needs PostgreSQL's server programs (Debian: postgresql); they are run as the user postgres where this is root.
#
# Seen on Python 3.11 with PostgreSQL 15:
#   psycopg alone: version() is bytes
#   SQLAlchemy: TypeError: cannot use a string pattern on a bytes-like object
#   is it an SQLAlchemyError: False
#   with client_encoding=utf8: version() is str
set -eu
programs=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb | tail -n 1)")
folder=$(mktemp -d)
as=""
if [ "$(id -u)" = 0 ]; then as="runuser -u postgres --"; chown postgres "$folder"; fi
stop() {
  $as "$programs/pg_ctl" -D "$folder/data" -m immediate -s stop >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap stop EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install sqlalchemy==2.1.9 "psycopg[binary]==3.3.9"
cd "$folder"
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
$as "$programs/initdb" -D "$folder/data" -U owner --auth trust --encoding SQL_ASCII --locale C --no-sync >/dev/null
$as "$programs/pg_ctl" -D "$folder/data" -w -s -l "$folder/data/log" \
  -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" start
cat >"$folder/look.py" <<'PYTHON'
import sys

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

address = f"127.0.0.1:{sys.argv[1]}/postgres"
with psycopg.connect(f"postgresql://owner@{address}") as connection:
    print("psycopg alone: version() is", type(connection.execute("SELECT version()").fetchone()[0]).__name__)
try:
    create_engine(f"postgresql+psycopg://owner@{address}").connect()
except Exception as error:
    print(f"SQLAlchemy: {type(error).__name__}: {error}")
    print("is it an SQLAlchemyError:", isinstance(error, SQLAlchemyError))
with create_engine(f"postgresql+psycopg://owner@{address}?client_encoding=utf8").connect() as connection:
    print("with client_encoding=utf8: version() is", type(connection.exec_driver_sql("SELECT version()").scalar()).__name__)
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$port" >"$folder/seen"
cat "$folder/seen"
cat >"$folder/expected" <<'TEXT'
psycopg alone: version() is bytes
SQLAlchemy: TypeError: cannot use a string pattern on a bytes-like object
is it an SQLAlchemyError: False
with client_encoding=utf8: version() is str
TEXT
diff "$folder/expected" "$folder/seen" && echo "as described"
