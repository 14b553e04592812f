"""Which page of the console shows what a message is about. Pure."""

from __future__ import annotations

from typing import assert_never

from syncd.plan.report.notifications import Notification


def find_page(news: Notification, console: str) -> str:
    """Return the address of the page; ``console`` is where the console is reached, without a slash at its end."""
    run = news.fields.get("run")
    match news.event:
        case "held":
            # A tenant that reads empty is held as a whole: that form is on the page of all that is held.
            return f"{console}/held/{run}" if run and news.fields.get("held") else f"{console}/held"
        case "failed" | "recovered":
            return f"{console}/runs/{run}" if run else f"{console}/runs"
        case "failing":
            return f"{console}/users?state=failing"
        case "refused_configuration":
            return f"{console}/settings"
        case "expiring":
            return f"{console}/"
        case _:
            assert_never(news.event)
