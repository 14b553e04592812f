"""Nothing that a client sends makes the sandbox fail: every request is answered by the side that it was sent to."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.http import Answer, Request, make_request
from syncd.sandbox.wire.tokens import Grant
from tests.property.machines import walked

_NAMES = (
    "users",
    "groups",
    "Users",
    "$batch",
    "$count",
    "delta",
    "members",
    "owners",
    "memberOf",
    "transitiveMemberOf",
)
_MORE = ("transitiveMembers", "manager", "directReports", "ownedObjects", "photo", "directory", "deletedItems")
_CASTS = ("graph.user", "microsoft.graph.group", "graph.agentUser", "microsoft.graph.nothing", "graph.", "users('x')")
_OTHERS = ("directoryObjects", "getByIds", "organization", "", " ", "%", "é", "\udcff", "..", "users('", "groups()")
_OPTIONS = (
    "$select",
    "$filter",
    "$orderby",
    "$expand",
    "$top",
    "$count",
    "$skiptoken",
    "$deltatoken",
    "select",
    "page",
)
_VALUES = (
    *("id", "displayName", "DISPLAYNAME desc", "manager", "members", "aboutMe", "id,,manager/id", "extension_", "*"),
    *("1", "0", "-1", "9" * 5000, "true", "latest", "'$AAAA+/='", "displayName eq 'x'", "id eq 'x' or id eq 'y'"),
    *("manager($levels=max;$select=id)", "manager(", "manager)", "members($select=)", "manager($levels=-1)", "a(b(c"),
    *("startswith(displayName,'a')", "not (a eq 1", "proxyAddresses/any(p:p eq 'x')", "id in ('a'", "((((", "'", "eq"),
)
_PORTAL = (
    "api",
    "data",
    "v6.0",
    "admin",
    "users",
    "user",
    "groups",
    "group",
    "licenses",
    "license",
    "assign",
    "summary",
)
_PORTAL_MORE = ("substitutions", "add", "remove", "me", "oauth2", "token", "1", "9" * 5000, "WEBCONBPS", "%2F", "é")
_KEYS = ("bpsId", "licenses", "type", "designerDeskSettings", "singleSolutionSettings", "processes", "members", "ids")
_KEYS_MORE = ("requests", "id", "method", "url", "headers", "body", "dependsOn", "assignLicenses", "removeLicenses")
_KEYS_LAST = ("originalPerson", "substitutePerson", "startDate", "endDate", "types", "name", "email", "managerBpsId")
_CONTROL = ("op", "count", "target", "kind", "side", "status", "path", "tenant", "portal", "reads", "headers", "link")
_TEXTS = (
    "SingleSolutionUser",
    "DesignerDeskUser",
    "User",
    "GET",
    "POST",
    "/users",
    "1",
    "agent",
    "live",
    "status",
    "x",
)

asked = walked(300)
"""The same requests each time; see `tests.property.machines`."""

texts = st.sampled_from([*_TEXTS, *_NAMES]) | st.text(max_size=5)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*_KEYS, *_KEYS_MORE, *_KEYS_LAST, *_CONTROL]) | texts, inner, max_size=5)
    ),
    max_leaves=12,
)
bodies = st.one_of(
    documents.map(lambda document: json.dumps(document).encode()),
    st.sampled_from([b"", b"{", b'"\xff"', b"[" * 100_000, b'"\\ud800"', b"\xef\xbb\xbf{}", b"\x00"]),
    st.binary(max_size=20),
)
methods = st.sampled_from(["GET", "GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "BREW"])
queries = st.lists(st.tuples(st.sampled_from(_OPTIONS), st.sampled_from(_VALUES) | st.text(max_size=4)), max_size=3)


def targets(*segments: str, prefix: str = "") -> st.SearchStrategy[str]:
    """Return paths of those segments (and ids, and noise), some of them percent-encoded, with a query."""
    segment = st.sampled_from(segments) | st.text(max_size=3)
    return st.builds(
        lambda path, options, encoded: (
            prefix
            + "/".join(quote(part, safe="$()'", errors="surrogateescape") if encoded else part for part in path)
            + ("?" + "&".join(f"{name}={quote(value)}" for name, value in options) if options else "")
        ),
        st.lists(segment, max_size=5),
        queries,
        st.booleans(),
    )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A sandbox whose services are asked directly."""
    made = Sandbox(SandboxOptions(users=30, groups=14, memberships=60), tmp_path_factory.mktemp("sandbox"))
    made._ports.update(login=1, graph=2, portal=3, control=4)
    return made


def headers_for(sandbox: Sandbox, audience: str) -> dict[str, str]:
    """Return headers with a good token of that side."""
    scopes = frozenset({*sandbox.registration.roles, "Group.Read.All", "Admin.ReadWrite.All"})
    token = sandbox.book.issue(Grant(audience, "x", scopes, 4e9), {})
    return {"authorization": f"Bearer {token}", "content-type": "application/json", "consistencylevel": "eventual"}


def check(answer: Answer, request: Request) -> None:
    """A definite answer, whose JSON can be read."""
    assert answer.status < 500 or answer.status == 501, request
    if answer.content_type.startswith("application/json") and answer.body:
        json.loads(answer.body)


def ids(sandbox: Sandbox) -> tuple[str, ...]:
    return (sandbox.directory.users[0].id, sandbox.directory.groups[0].id)


@asked
@given(data=st.data())
def test_whatever_graph_is_asked_it_answers(sandbox: Sandbox, data: st.DataObject) -> None:
    """Paths, options and bodies of any kind."""
    known = (*_NAMES, *_MORE, *_CASTS, *_OTHERS, *ids(sandbox))
    target = data.draw(targets(*known, prefix=data.draw(st.sampled_from(["/v1.0/", "/v1.0", "/", "/v1.0/users/"]))))
    request = make_request(data.draw(methods), target, headers=headers_for(sandbox, "graph"), body=data.draw(bodies))
    check(sandbox.graph.answer(request), request)


@asked
@given(data=st.data())
def test_whatever_a_batch_holds_it_is_answered(sandbox: Sandbox, data: st.DataObject) -> None:
    """Parts of any shape beside good ones."""
    part: dict[str, Any] = {"id": data.draw(texts), "method": "GET", "url": data.draw(targets(*_NAMES, *ids(sandbox)))}
    body = json.dumps({"requests": [part, data.draw(documents), {**part, **data.draw(st.dictionaries(texts, texts))}]})
    request = make_request("POST", "/v1.0/$batch", headers=headers_for(sandbox, "graph"), body=body.encode())
    check(sandbox.graph.answer(request), request)


@asked
@given(data=st.data())
def test_whatever_the_portal_is_asked_it_answers(sandbox: Sandbox, data: st.DataObject) -> None:
    """Paths, options and bodies of any kind, also those that change something."""
    prefix = data.draw(st.sampled_from(["/WEBCONBPS/api/data/v6.0/admin/", "/"]))
    target = data.draw(targets(*_PORTAL, *_PORTAL_MORE, prefix=prefix))
    request = make_request(data.draw(methods), target, headers=headers_for(sandbox, "portal"), body=data.draw(bodies))
    check(sandbox.portal_service.answer(request), request)


@asked
@given(data=st.data())
def test_whatever_an_assignment_of_licences_holds_it_is_answered(sandbox: Sandbox, data: st.DataObject) -> None:
    """And what was accepted can be listed."""
    person = next(account.bps_id for account in sandbox.portal.accounts.values() if account.account_type == "User")
    licence = {"type": data.draw(texts), "singleSolutionSettings": data.draw(documents)}
    entry = {"bpsId": person, "licenses": [licence, data.draw(documents)]}
    body = json.dumps({data.draw(st.sampled_from(["assignLicenses", "removeLicenses"])): [entry, data.draw(documents)]})
    headers = headers_for(sandbox, "portal")
    for method, path, sent in (("POST", "/assign", body.encode()), ("GET", "", b"")):
        request = make_request(method, f"/WEBCONBPS/api/data/v6.0/admin/licenses{path}", headers=headers, body=sent)
        check(sandbox.portal_service.answer(request), request)


@asked
@given(data=st.data())
def test_whatever_the_login_is_asked_it_answers(sandbox: Sandbox, data: st.DataObject) -> None:
    """Paths and forms of any kind."""
    tenant = sandbox.tenant_id
    known = (tenant, "oauth2", "v2.0", "token", ".well-known", "openid-configuration", "metadata", "identity", "msi")
    headers = {"content-type": "application/x-www-form-urlencoded", "metadata": "true"}
    body = data.draw(st.binary(max_size=10)) + f"&grant_type=client_credentials&client_id={sandbox.client_id}".encode()
    body += b"&scope=x&client_secret=" + quote(data.draw(st.text(max_size=5))).encode()
    target = data.draw(targets(*known, prefix=data.draw(st.sampled_from([f"/{tenant}/oauth2/v2.0/token?", "/"]))))
    request = make_request(data.draw(methods), target, headers=headers, body=body)
    check(sandbox.login.answer(request), request)


@asked
@given(data=st.data())
def test_whatever_the_control_endpoint_is_asked_it_answers(sandbox: Sandbox, data: st.DataObject) -> None:
    """Changes, knobs, faults and freezes of any kind, and Graph, login and portal answer after each of them."""
    path = data.draw(st.sampled_from(["change", "knobs", "faults", "freeze", "thaw", "ledger", "state"]) | texts)
    knob = st.sampled_from([*asdict(sandbox.tenant_knobs), *asdict(sandbox.portal_knobs)])
    wishes = st.dictionaries(st.sampled_from(_CONTROL), documents | st.dictionaries(knob, documents, max_size=3))
    body = data.draw(bodies | wishes.map(lambda wish: json.dumps(wish).encode()))
    check_control = make_request(data.draw(methods), f"/{quote(path)}", body=body)
    check(sandbox.control.answer(check_control), check_control)
    for target in ("/v1.0/users?$select=id", "/v1.0/users/delta?$select=id", "/v1.0/users/$count"):
        request = make_request("GET", target, headers=headers_for(sandbox, "graph"))
        answer = sandbox.graph.answer(request)
        check(replace(answer, status=200) if answer.status == sandbox.tenant_knobs.count_status else answer, request)
    form = f"grant_type=client_credentials&client_id={sandbox.client_id}&scope=https://graph.microsoft.com/.default"
    form += f"&client_secret={quote(sandbox.client_secret)}"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    token = make_request("POST", f"/{sandbox.tenant_id}/oauth2/v2.0/token", headers=headers, body=form.encode())
    check(sandbox.login.answer(token), token)
