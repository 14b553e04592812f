#!/bin/sh
# stamina 26.1.0: as soon as structlog can be imported, each retry is logged with the repr of the whole exception.
#
# No set-up asks for it: structlog only has to be installed, by whatever other package. The line is written at level
# "warning" for each attempt that is repeated, and holds caused_by (repr of the exception with all that its text
# quotes), and args and kwargs of the function. No parameter of retry, retry_context or RetryingCaller turns it off for
# one use: what there is (set_on_retry_hooks) is for the whole process.
#
# Seen on Python 3.11:
#   retry parameters that could silence it: none
#   with structlog: 1 line, holds the answer's text: True, holds the argument: True
#   hooks set to none: 0 lines
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install stamina==26.1.0 structlog==26.1.0
cat >"$folder/look.py" <<'PYTHON'
import contextlib
import inspect
import io
import sys

import stamina
import stamina.instrumentation


class Refused(Exception):
    pass


@stamina.retry(on=Refused, attempts=2, wait_initial=0.01, wait_max=0.01)
def send(who):
    raise Refused("the server said: bad value for ann@example.com")


def count():
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(Refused):
        send("argument-of-ours")
    return written.getvalue()


names = [name for name in inspect.signature(stamina.retry).parameters if "log" in name or "hook" in name]
print("retry parameters that could silence it:", ", ".join(names) or "none")
text = count()
print(
    f"with structlog: {len(text.splitlines())} line, holds the answer's text: {'ann@example.com' in text}, "
    f"holds the argument: {'argument-of-ours' in text}"
)
stamina.instrumentation.set_on_retry_hooks([])
print(f"hooks set to none: {len(count().splitlines())} lines")
PYTHON
"$folder/venv/bin/python" "$folder/look.py" >"$folder/seen"
cat "$folder/seen"
cat >"$folder/expected" <<'TEXT'
retry parameters that could silence it: none
with structlog: 1 line, holds the answer's text: True, holds the argument: True
hooks set to none: 0 lines
TEXT
diff "$folder/expected" "$folder/seen" && echo "as described"
