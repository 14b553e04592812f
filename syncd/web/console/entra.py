"""Signing in with Entra ID: what begins it, who came back, and which role that person has."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from syncd.clock import Clock
from syncd.config import Settings, WebSettings
from syncd.graph.auth.sign_in import SignInOptions, SignInRefused, begin, complete, fetch_groups
from syncd.store.console.sessions import ConsoleRole

RETURN_PATH = "/signed-in"


class NotAdmitted(Exception):
    """Somebody of the tenant who is neither viewer nor approver."""

    def __init__(self, person_id: str) -> None:
        super().__init__("neither viewer nor approver")
        self.person_id = person_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the browser goes, and what the end of the sign-in needs."""

    address: str
    state: str
    flow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who has signed in, and where to go on."""

    id: str
    login: str
    role: ConsoleRole
    back: str


class _Kept(msgspec.Struct):
    flow: str
    back: str


async def begin_sign_in(settings: Settings, clock: Clock, *, back: str) -> Begun:
    """Begin a sign-in that ends at the page ``back``; raises RemoteErrors and SignInRefused."""
    begun = await begin(make_options(settings), clock)
    return Begun(address=begun.address, state=begun.state, flow=msgspec.json.encode(_Kept(begun.flow, back)).decode())


async def complete_sign_in(settings: Settings, clock: Clock, *, flow: str, answer: dict[str, str]) -> Person:
    """Return who came back; raises NotAdmitted, RemoteErrors and SignInRefused."""
    kept, options = msgspec.json.decode(flow, type=_Kept), make_options(settings)
    person = await complete(options, clock, flow=kept.flow, answer=answer)
    role = find_role(settings.web, person.id, person.groups or frozenset())
    if role != "approver" and person.groups is None:
        # The token does not tell all groups (there are too many, or the claim is not asked for): Graph does.
        role = find_role(settings.web, person.id, await fetch_groups(options, clock, person.token))
    if role is None:
        raise NotAdmitted(person.id)
    return Person(id=person.id, login=person.login, role=role, back=kept.back)


def find_role(web: WebSettings, person: str, groups: frozenset[str]) -> ConsoleRole | None:
    """Return the role of somebody, by the person's own id and those of the groups; approvers are viewers as well."""
    ids = {person, *groups}
    if ids.intersection(web.approvers):
        return "approver"
    return "viewer" if ids.intersection(web.viewers) else None


def make_options(settings: Settings) -> SignInOptions:
    """Return the application that people sign in to, in the tenant that is synchronised."""
    web, graph = settings.web, settings.graph
    secret = web.client_secret
    if web.client_id is None or secret is None or web.external_url is None:
        raise SignInRefused("web.client_id, web.client_secret and web.external_url are not all set")
    return SignInOptions(
        tenant_id=graph.tenant_id,
        client_id=web.client_id,
        read_secret=secret.reveal,
        credential_setting=secret.name_key("web.client_secret"),
        redirect_uri=f"{web.external_url}{RETURN_PATH}",
        authority_url=graph.authority,
        graph_url=graph.root,
        ca_file=graph.ca_file,
        proxy_url=None if graph.proxy_url is None else graph.proxy_url.reveal(),
        proxy_setting="graph.proxy_url" if graph.proxy_url is None else graph.proxy_url.name_key("graph.proxy_url"),
    )
