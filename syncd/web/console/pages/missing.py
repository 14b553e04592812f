"""What is shown instead of something that is not there."""

from __future__ import annotations

from syncd.web.console.view import Page, View


def show_missing(view: View, said: str) -> Page:
    """Return a page that says so."""
    return view.render("message.html", title=view.texts("error.title"), said=said, code=404)
