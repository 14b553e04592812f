#!/bin/sh
# msgraph-sdk 1.65.0 with msgraph-core 1.5.2 (Microsoft Graph SDK for Python): PageIterator on a round of delta.
#
# Graph's manual says of delta queries that a page may be empty and still have a nextLink, and that the last page of a
# round carries the deltaLink for the next one. PageIterator is the SDK's own way through such pages. What surprises:
#
# 1. It ends at the first page without entries, as if there were no more, without an error. Its has_next stays true, and
#    its current page still has the nextLink. Whoever takes what it yielded for the tenant's users has lost the rest.
# 2. Its delta_link stays empty when the round was read to its end: of the last page only nextLink and value are kept.
#
# The script reads two rounds from a loopback server: one with an empty page in the middle, one without.
#
# Seen on Python 3.11:
#   with an empty page: asked for pages [1, 2], yielded ['a', 'b'], next page known: True
#   without one: asked for pages [1, 2], yielded ['a', 'b', 'c'], delta link: ''
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install msgraph-sdk==1.65.0 msgraph-core==1.5.2 \
  microsoft-kiota-abstractions==1.16.0 microsoft-kiota-http==1.16.0 microsoft-kiota-serialization-json==1.16.0
timeout 120 "$folder/venv/bin/python" - <<'PYTHON' >"$folder/seen"
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from kiota_abstractions.authentication import AnonymousAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph_core.tasks import PageIterator

ROUNDS = {"gap": [["a", "b"], [], ["c"]], "whole": [["a", "b"], ["c"]]}
now = {"round": "gap", "asked": []}


class Tenant(BaseHTTPRequestHandler):
    def do_GET(self):
        pages = ROUNDS[now["round"]]
        number = int(self.path.partition("page=")[2] or 1)
        now["asked"].append(number)
        root = f"http://127.0.0.1:{self.server.server_port}/v1.0/users/delta()"
        page = {"value": [{"id": name} for name in pages[number - 1]]}
        if number < len(pages):
            page["@odata.nextLink"] = f"{root}?page={number + 1}"
        else:
            page["@odata.deltaLink"] = f"{root}?$deltatoken=later"
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


async def read(kind, client, adapter):
    now.update(round=kind, asked=[])
    pages = PageIterator(await client.users.delta.get(), adapter)
    yielded = []
    await pages.iterate(lambda user: yielded.append(user.id) or True)
    return pages, yielded


async def main(port):
    adapter = GraphRequestAdapter(AnonymousAuthenticationProvider())
    adapter.base_url = f"http://127.0.0.1:{port}/v1.0"
    client = GraphServiceClient(request_adapter=adapter)
    pages, yielded = await read("gap", client, adapter)
    known = bool(pages.has_next and pages.current_page.odata_next_link)
    print(f"with an empty page: asked for pages {now['asked']}, yielded {yielded}, next page known: {known}")
    pages, yielded = await read("whole", client, adapter)
    print(f"without one: asked for pages {now['asked']}, yielded {yielded}, delta link: {pages.delta_link!r}")


server = HTTPServer(("127.0.0.1", 0), Tenant)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main(server.server_port))
PYTHON
cat "$folder/seen"
cat >"$folder/expected" <<'TEXT'
with an empty page: asked for pages [1, 2], yielded ['a', 'b'], next page known: True
without one: asked for pages [1, 2], yielded ['a', 'b', 'c'], delta link: ''
TEXT
diff "$folder/expected" "$folder/seen" && echo "as described"
