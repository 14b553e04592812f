#!/bin/sh
# msgspec 0.22.0: a JSON Schema made from a class is another one on Python 3.12 than on Python 3.13.
#
# msgspec.json.schema() takes a class's docstring as its description, and passes it through textwrap.dedent. The first
# line of a docstring has no indentation, so that there is none in common and nothing is taken away: the second paragraph
# begins with the four blanks of the source. inspect.cleandoc would do it. From Python 3.13 on the compiler strips them
# itself. Whoever keeps such a schema in a repository and compares it in tests finds it changed by the interpreter alone;
# docstrings of one line are the same everywhere.
#
# Seen on Python 3.11:
#   'Who is meant.\n\n    And more of it.'
# Seen on Python 3.13:
#   'Who is meant.\n\nAnd more of it.'
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
import msgspec


class Person(msgspec.Struct):
    """Who is meant.

    And more of it.
    """

    name: str


print(repr(msgspec.json.schema(Person)["$defs"]["Person"]["description"]))
PYTHON
for python in python3.11 python3.13; do
  command -v "$python" >/dev/null || { echo "$python is not here"; exit 1; }
  "$python" -m venv "$folder/$python"
  "$folder/$python/bin/pip" -q --disable-pip-version-check install msgspec==0.22.0
  "$folder/$python/bin/python" "$folder/look.py"
done >"$folder/seen"
cat "$folder/seen"
cat >"$folder/expected" <<'TEXT'
'Who is meant.\n\n    And more of it.'
'Who is meant.\n\nAnd more of it.'
TEXT
diff "$folder/expected" "$folder/seen" && echo "as described"
