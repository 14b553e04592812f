#!/bin/sh
# msgraph-core 1.5.2: everything about $batch needs a package that msgraph-core does not ask for.
#
# msgraph_core.requests imports a package named "deprecated", which is in nobody's list of requirements: after a clean
# installation the package itself is imported without complaint, and so is the page iterator, but no class for batches.
# It comes to light at the first batch, since the import is not at the top of the package. Installing "deprecated" by
# hand helps.
#
# Seen on Python 3.11:
#   msgraph_core: imported
#   msgraph_core.tasks.page_iterator: imported
#   msgraph_core.requests.batch_request_content: ModuleNotFoundError: No module named 'deprecated'
#   msgraph_core.requests.batch_response_content: ModuleNotFoundError: No module named 'deprecated'
#   with it, msgraph_core.requests.batch_request_content: imported
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install msgraph-core==1.5.2 \
  microsoft-kiota-abstractions==1.16.0 microsoft-kiota-http==1.16.0
cat >"$folder/look.py" <<'PYTHON'
import importlib
import sys

for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        print(f"{name}: imported")
    except ImportError as error:
        print(f"{name}: {type(error).__name__}: {error}")
PYTHON
{
  "$folder/venv/bin/python" "$folder/look.py" msgraph_core msgraph_core.tasks.page_iterator \
    msgraph_core.requests.batch_request_content msgraph_core.requests.batch_response_content
  "$folder/venv/bin/pip" -q --disable-pip-version-check install Deprecated==1.2.18
  printf 'with it, '
  "$folder/venv/bin/python" "$folder/look.py" msgraph_core.requests.batch_request_content
} >"$folder/seen"
cat "$folder/seen"
cat >"$folder/expected" <<'TEXT'
msgraph_core: imported
msgraph_core.tasks.page_iterator: imported
msgraph_core.requests.batch_request_content: ModuleNotFoundError: No module named 'deprecated'
msgraph_core.requests.batch_response_content: ModuleNotFoundError: No module named 'deprecated'
with it, msgraph_core.requests.batch_request_content: imported
TEXT
diff "$folder/expected" "$folder/seen" && echo "as described"
