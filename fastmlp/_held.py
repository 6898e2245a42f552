"""Locks that training holds for long, open again in a forked child, which has not the thread that holds them."""

from __future__ import annotations

import os
import threading
from typing import Any

_held: dict[int, tuple[Any, int]] = {}
"""Locks, by their identity, and the threads that hold them."""


class Held:
    """A context manager: holds a lock of `threading`.

    Parameters
    ----------
    lock : threading.Lock or threading.RLock
        Such as that of a bit generator.
    """

    __slots__ = ("_lock",)

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()
        _held[id(self._lock)] = self._lock, threading.get_ident()

    def __exit__(self, *error: object) -> None:
        _held.pop(id(self._lock), None)
        self._lock.release()


def _open_others() -> None:
    for key, (lock, thread) in list(_held.items()):
        if thread != threading.get_ident():
            lock._at_fork_reinit()  # what `threading` and `concurrent.futures` do with locks of their own
            del _held[key]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_others)
