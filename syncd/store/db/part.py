"""What every object of the store is made with, and how a use case on the event loop calls it.

====================================  ==============================================================================
a method of a store object            is called
====================================  ==============================================================================
marked `in_thread`                    from the event loop: ``await store.plans.load_batch(…)`` runs it in the store's
                                      thread; code that is in that thread already (planning), or has no event loop
                                      (commands), calls ``store.plans.load_batch.blocking(…)``
not marked                            only where nothing else runs: in that thread, or without an event loop
====================================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from syncd.store.db.database import Database

P = ParamSpec("P")
T = TypeVar("T")
Part = TypeVar("Part", bound="StorePart")


class StorePart:
    """One object of the store, or a part of one. It keeps nothing but the database, so that making it costs nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        """Return the database that it works on."""
        return self._database


class BoundMethod(Generic[P, T]):
    """A method of one store object: awaited from the event loop, or ``blocking`` where it may block."""

    __slots__ = ("_database", "blocking")

    def __init__(self, database: Database, blocking: Callable[P, T]) -> None:
        self._database = database
        self.blocking = blocking

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Run it in the store's thread and wait; raises what it raises."""
        return self._database.call(self.blocking, *args, **kwargs)


class ThreadMethod(Generic[Part, P, T]):
    """What `in_thread` makes of a method."""

    def __init__(self, work: Callable[Concatenate[Part, P], T]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, part: None, owner: type[Part]) -> ThreadMethod[Part, P, T]: ...

    @overload
    def __get__(self, part: Part, owner: type[Part]) -> BoundMethod[P, T]: ...

    def __get__(self, part: Part | None, owner: type[Part]) -> ThreadMethod[Part, P, T] | BoundMethod[P, T]:
        """Return the method of an object."""
        if part is None:
            return self
        return BoundMethod(part.database, partial(self._work, part))


def in_thread(work: Callable[Concatenate[Part, P], T]) -> ThreadMethod[Part, P, T]:
    """Make a blocking method of a store object asynchronous: it runs in the store's thread, one call at a time."""
    return ThreadMethod(work)
