"""How many threads the C backend may use: what was asked for, what the environment allows, what threadpoolctl has set.

Results have the same bits whatever the number.
"""

from __future__ import annotations

import contextvars
import importlib
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

MOST = 64
"""FM_MAX_THREADS of the C core; more are not used."""

_requested: contextvars.ContextVar[int | None] = contextvars.ContextVar("fastmlp_n_threads", default=None)
"""What an estimator, a network or `fastmlp.config_context` asks for in this context; None leaves it to the work."""

_limit: int | None = None
"""Set by threadpoolctl, None until then."""

_Result = TypeVar("_Result")


class Threads(NamedTuple):
    """The threads of a call."""

    n: int
    fixed: bool
    """Whether to use so many; otherwise only as many of them as the work pays for."""


def check_n_threads(n_threads: Any) -> int | None:
    """Return `n_threads`: None, -1 or a positive integer.

    Raises
    ------
    TypeError, ValueError
        When it is none of these.

    Examples
    --------
    >>> from fastmlp._threads import check_n_threads
    >>> check_n_threads(2)
    2
    """
    if n_threads is None:
        return None
    if isinstance(n_threads, bool) or not isinstance(n_threads, Integral):
        raise TypeError(f"n_threads must be None or an integer, got {n_threads!r} of type {type(n_threads).__name__}.")
    if n_threads < 1 and n_threads != -1:
        raise ValueError(f"n_threads must be None, -1 or at least 1, got {n_threads}.")
    return int(n_threads)


@contextmanager
def requested(n_threads: int | None) -> Iterator[None]:
    """Return a context in which `n_threads` are asked for; with None what was asked for before holds on.

    Examples
    --------
    >>> from fastmlp._threads import requested, threads
    >>> with requested(1):
    ...     threads()
    Threads(n=1, fixed=True)
    """
    token = _requested.set(_requested.get() if n_threads is None else n_threads)
    try:
        yield
    finally:
        _requested.reset(token)


def call_requesting(n_threads: int | None, function: Callable[..., _Result], *args: Any, **named: Any) -> _Result:
    """Call `function` where `n_threads` are asked for.

    In a context of its own: an exception that a signal raises just as a ``with`` block is entered or left keeps that
    from putting back what was set before. What `function` sets in the context ends with the call, too.

    Examples
    --------
    >>> from fastmlp._threads import call_requesting, threads
    >>> call_requesting(1, threads)
    Threads(n=1, fixed=True)
    """
    if n_threads is None:
        return function(*args, **named)
    context = contextvars.copy_context()
    context.run(_requested.set, n_threads)
    return context.run(function, *args, **named)


def threads(n_threads: int | None = None) -> Threads:
    """Return the threads that a call may use: so many, or with None what is asked for in this context.

    Examples
    --------
    >>> from fastmlp._threads import threads
    >>> threads().n >= 1
    True
    """
    n = _requested.get() if n_threads is None else n_threads
    if n is None:
        return Threads(get_limit(), False)
    if n == -1:
        return Threads(get_limit(), True)
    if n < 1:
        check_n_threads(n)
    # A limit below what the environment allows was set on purpose, and holds for everybody.
    if get_limit() < available():
        n = min(n, get_limit())
    return Threads(min(n, MOST), True)


def get_limit() -> int:
    """Return the most threads that are used where no number is asked for."""
    limit = _limit
    return available() if limit is None else limit


class NoLimit(int):
    """The number of threads where no limit is set."""


def reported_limit() -> int:
    """Return that number for threadpoolctl, which other libraries ask: it is no error, and reads nothing for good."""
    limit = _limit
    if limit is not None:
        return limit
    try:
        return NoLimit(available() if available.cache_info().currsize else _allowed())
    except ValueError:
        return NoLimit(_of_the_machine())


def set_limit(n_threads: int) -> None:
    """Set that number for the process; a `NoLimit`, which threadpoolctl sets again where a limit ends, is none."""
    global _limit
    _limit = None if isinstance(n_threads, NoLimit) else min(max(int(n_threads), 1), MOST)


@lru_cache(maxsize=1)
def available() -> int:
    """Return how many threads the environment allows, as found when this is first asked.

    The least of ``FASTMLP_NUM_THREADS`` (where that is not set, ``OMP_NUM_THREADS``), the processors that this process
    may run on, and the processor time that its control groups have.

    Raises
    ------
    ValueError
        When ``FASTMLP_NUM_THREADS`` is no positive integer.

    Examples
    --------
    >>> from fastmlp._threads import available
    >>> available() >= 1
    True
    """
    return _allowed()


def _allowed() -> int:
    return min(_from_environment(), _of_the_machine())


def _of_the_machine() -> int:
    return min(_processors(), _from_control_groups(Path("/")), MOST)


def _from_environment() -> int:
    own = os.environ.get("FASTMLP_NUM_THREADS", "")
    if own:
        number = _positive(own)
        if number is None:
            raise ValueError(f"FASTMLP_NUM_THREADS must be a positive integer, got {own!r}.")
        return number
    # OpenMP takes a list, one number for each level of nesting.
    return _positive(os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()) or MOST


def _positive(text: str) -> int | None:
    """Return a positive integer, one beyond MOST as that; None for other text."""
    digits = text.lstrip("0")
    if not digits or not (text.isascii() and text.isdigit()):
        return None
    return MOST if len(digits) > len(str(MOST)) else min(int(digits), MOST)


def _processors() -> int:
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _from_control_groups(root: Path) -> int:
    """Return the processors that the control groups of this process and their parents allow, rounded up.

    Version 2 has ``cpu.max`` ("200000 100000": 200 of every 100 ms; "max" is no limit), version 1 the two numbers in
    ``cpu.cfs_quota_us`` (-1 is no limit) and ``cpu.cfs_period_us``. `root` is the root of the file system.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except (OSError, ValueError):
        return MOST
    least = float(MOST)
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("cpu.max",)
        elif "cpu" in controllers.split(","):
            top, names = root / "sys/fs/cgroup/cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        group = top / path.lstrip("/")
        # In a container the path may be that of the host: then only the top is there.
        for folder in (group, *group.parents):
            least = min(least, _quota(folder, names))
            if folder == top:
                break
    return max(1, math.ceil(least))


def _quota(folder: Path, names: tuple[str, ...]) -> float:
    try:
        words = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
        quota, period = (float(word) for word in words)
    except (OSError, ValueError):  # missing, or "max"
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def register_with_threadpoolctl(version: str) -> None:
    """Make the C backend visible to threadpoolctl, where that is installed.

    ``threadpoolctl.threadpool_limits(1)``, or with ``user_api="fastmlp"``, then holds for it.
    """
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return
    if not hasattr(threadpoolctl, "register"):  # before its version 3.2
        return

    class FastmlpController(threadpoolctl.LibController):
        user_api = "fastmlp"
        internal_api = "fastmlp"
        filename_prefixes = ("_fastmlp_c",)

        def get_num_threads(self) -> int:
            return reported_limit()

        def set_num_threads(self, num_threads: int) -> None:
            set_limit(num_threads)

        def get_version(self) -> str:
            return version

    threadpoolctl.register(FastmlpController)
