#!/bin/sh
# common-expression-language 0.10.0 (Python binding of a Rust evaluator): size() of a text counts bytes of UTF-8.
#
# The language definition of CEL ("List of Standard Definitions", size) counts Unicode code points. So a condition such
# as size(name) <= 4 refuses "Łódź", which has four letters: size() says 7. ASCII texts show no difference. The size of
# a list counts its elements, as expected. And size(null) is refused as a name that is not known ("Undefined variable or
# function"), although the function is there: what is missing is an overload for null.
#
# Seen with 0.10.0 on Python 3.11:
#   size of ASCII: 4
#   size of four letters with marks: 7
#   size of a list of them: 2
#   size of null: RuntimeError, undefined 'size'
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install common-expression-language==0.10.0
"$folder/venv/bin/python" - <<'PYTHON' >"$folder/seen"
import cel

words = {"plain": "Lodz", "marked": "Łódź", "both": ["Łódź", "Kraków"], "nothing": None}
print("size of ASCII:", cel.evaluate("size(plain)", words))
print("size of four letters with marks:", cel.evaluate("size(marked)", words))
print("size of a list of them:", cel.evaluate("size(both)", words))
try:
    print("size of null:", cel.evaluate("size(nothing)", words))
except Exception as error:
    print(f"size of null: {type(error).__name__}, undefined 'size'" if "Undefined" in str(error) else error)
PYTHON
cat "$folder/seen"
cat >"$folder/expected" <<'TEXT'
size of ASCII: 4
size of four letters with marks: 7
size of a list of them: 2
size of null: RuntimeError, undefined 'size'
TEXT
diff "$folder/expected" "$folder/seen" && echo "as described"
