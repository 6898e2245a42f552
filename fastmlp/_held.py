"""Locks that training holds for long, open again in a forked child, where the thread that holds them is missing."""

from __future__ import annotations

import os
import threading
from typing import Any

_noted: dict[tuple[int, int], Any] = {}
"""Locks that a thread is about to take or holds, by the identities of who noted it and of the thread."""


class Noted:
    """A context manager around ``with lock``, which notes who takes the lock.

    The lock itself is taken by the caller: an interrupt may come between any two lines of Python, and no line lies
    between the taking of a lock by ``with`` and what gives it back. A note that is left over does no harm.

    Parameters
    ----------
    lock : threading.Lock or threading.RLock
        Such as that of a bit generator.
    """

    __slots__ = ("_lock",)

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        _noted[id(self), threading.get_ident()] = self._lock

    def __exit__(self, *error: object) -> None:
        _noted.pop((id(self), threading.get_ident()), None)


def _is_mine(lock: Any) -> bool:
    """Return whether this thread holds a lock; one that does not say is taken to be whose note there is."""
    tells = getattr(lock, "_is_owned", None)
    if tells is not None:
        return tells()
    me = threading.get_ident()
    return any(noted is lock for (_, thread), noted in _noted.items() if thread == me)


def _open_those_of_other_threads() -> None:
    me = threading.get_ident()
    for (_, thread), lock in list(_noted.items()):
        if thread != me and not _is_mine(lock):
            lock._at_fork_reinit()  # what `threading` and `concurrent.futures` do with locks of their own
    for key in [key for key in _noted if key[1] != me]:
        del _noted[key]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_those_of_other_threads)
