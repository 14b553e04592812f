"""The application's own record in the tenant: when the client secret that we use ends.

``passwordCredentials`` of the resource type application (v1.0): ``endDateTime``, and ``hint``, the first three
characters of the secret, by which the one we use is told from others. The application may read its record with
``Application.Read.All``, or as its owner with ``Application.ReadWrite.OwnedBy`` ("Get application", "Permissions").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from syncd.errors import AuthFailed, NotFound, PermanentError
from syncd.graph.client import GraphClient
from syncd.graph.credentials import ClientSecret
from syncd.graph.permissions import OWN_RECORD, read_claims
from syncd.graph.wire.parse import parse_object
from syncd.graph.wire.refusals import Purpose
from syncd.http import RetryPolicy
from syncd.model.credential import SecretEnd

PERMISSION = "Application.Read.All"
_FRACTION = re.compile(r"(\.\d{6})\d+")


async def find_secret_end(client: GraphClient, *, now: datetime, retry: RetryPolicy) -> SecretEnd | None:
    """Return when our client secret ends, by our own record; None where that is not told, or we may not look.

    Nothing is asked where the credential is no client secret, or the token lacks every permission for it. Raises
    RemoteErrors that may pass.
    """
    claims = read_claims(await client.tokens.fetch())
    if claims is not None and not OWN_RECORD & claims.roles:
        return None
    try:
        return await fetch_secret_end(client, now=now, retry=retry)
    except AuthFailed:
        raise
    except PermanentError:
        return None


async def fetch_secret_end(client: GraphClient, *, now: datetime, retry: RetryPolicy) -> SecretEnd | None:
    """Return the same, None where the record does not tell it. Raises RemoteErrors."""
    options = client.options
    if not isinstance(options.credential, ClientSecret) or not options.client_id:
        return None
    body = await client.fetch(
        client.make_url(f"/applications(appId='{quote(options.client_id, safe='')}')?$select=passwordCredentials"),
        parse_object,
        purpose=Purpose("read the own application", PERMISSION, dispensable=True),
        retry=retry,
    )
    entries = body.get("passwordCredentials")
    if not isinstance(entries, list):
        raise NotFound("Microsoft Graph tells no secrets of the own application", status=200)
    ends_at = choose_end(entries, options.credential.reveal(), now=now)
    return None if ends_at is None else SecretEnd(options.client_id, ends_at)


def choose_end(entries: Iterable[Any], secret: str, *, now: datetime) -> datetime | None:
    """Return when this secret ends: of several that it may be the first end that is still to come, else the last.

    An entry without a hint may be any secret, and counts where no hint fits.
    """
    listed = [entry for entry in entries if isinstance(entry, dict)]
    ours = [entry for entry in listed if entry.get("hint") and secret.startswith(str(entry["hint"]))]
    ends = sorted(_read_ends(ours or [entry for entry in listed if not entry.get("hint")]))
    return next((end for end in ends if end > now), ends[-1] if ends else None)


def _read_ends(entries: Iterable[dict[str, Any]]) -> Iterator[datetime]:
    for entry in entries:
        text = entry.get("endDateTime")
        if not isinstance(text, str):
            continue
        try:
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
        except ValueError:
            continue
        yield found if found.tzinfo else found.replace(tzinfo=UTC)
