"""A hook that takes messages as JSON by POST: a channel of Slack or Teams, or anything else that listens.

A message has ``text`` and stable fields beside it. Slack, Mattermost and Teams' older connectors show ``text``. Teams'
Workflows show Adaptive Cards only (learn.microsoft.com, "Create and send messages", known issues), so that addresses
of Power Automate get the text in a card as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import msgspec
from yarl import URL

from syncd.clock import Clock
from syncd.errors import Unavailable
from syncd.http import HttpClient, HttpOptions, Response, RetryPolicy, Told, load_ssl_context, read_page
from syncd.http.confidential import list_credentials
from syncd.http.silence import name_cause

_CONNECT_SECONDS = 5.0
_LIMITS = HttpOptions(concurrency=1, connect_timeout=_CONNECT_SECONDS, answer_timeout=10)
_RETRY = RetryPolicy(attempts=3, patience=10.0, wait_initial=0.5, wait_max=3.0)
_WORKFLOW_HOSTS = (".logic.azure.com", ".powerplatform.com", ".powerautomate.com")


@dataclass(frozen=True, slots=True)
class HookOptions:
    """``url`` is asked anew for every message, since it may stand in a file; ``portal`` tells installations apart."""

    url: Callable[[], str]
    portal: str


class WebHook:
    """Posts messages. Use as an async context manager; opening it sends nothing."""

    def __init__(self, options: HookOptions, clock: Clock) -> None:
        self._options = options
        self._http = HttpClient("notify.webhook_url", _LIMITS, clock)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def post(self, document: Mapping[str, object]) -> None:
        """Deliver one message in three attempts at most; RemoteError when the hook does not take it."""
        url = URL(self._options.url(), encoded=True)
        body = {**document, "portal": self._options.portal}
        if (url.host or "").endswith(_WORKFLOW_HOSTS):
            body |= _make_card(str(document.get("text", "")))
        await self._http.send(
            "POST",
            url,
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(body),
            secrets=(url.raw_path_qs.strip("/"), *list_credentials(str(url))),
            retry=_RETRY,
            read_error=_read_answer,
        )

    async def probe(self) -> None:
        """Connect and hang up, without a request; Unavailable when nobody answers there, or not as itself."""
        url = URL(self._options.url(), encoded=True)
        try:
            context = await asyncio.to_thread(load_ssl_context, None) if url.scheme == "https" else None
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
        except TimeoutError:
            raise Unavailable(f"{url.host}:{url.port} cannot be reached: nobody answers", sent=False) from None
        except OSError as error:
            raise Unavailable(f"{url.host}:{url.port} cannot be reached: {name_cause(error)}", sent=False) from None
        writer.transport.abort()


def _read_answer(response: Response) -> Told:
    """Take whatever a hook answers for its own word: it may be anybody's, and has no shape to be known by."""
    return replace(read_page(response), own=True)


def _make_card(text: str) -> dict[str, object]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": text, "wrap": True}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}
