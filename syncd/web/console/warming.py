"""What the first page of a process would have to wait for, done as soon as the console listens.

To compile the templates, and to load the parts of the store that pages ask, takes more processor time than a page may.
Nothing is asked of the store for it.
"""

from __future__ import annotations

from syncd.web.console.view import make_environment, stamp_files


def prepare() -> None:
    """Load and compile all of it; done once, a further time costs nothing."""
    import syncd.store.decisions.decisions
    import syncd.store.desired.desired
    import syncd.store.plans.plans
    import syncd.store.runs.asked
    import syncd.store.runs.runlog  # noqa: F401 - each is imported when it is first asked for

    environment = make_environment()
    for name in environment.list_templates():
        environment.get_template(name)
    stamp_files()
