"""Settings of a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastmlp._threads import check_n_threads, requested
from fastmlp.backends import check_backend_name, configured


@contextmanager
def config_context(*, backend: str | None = None, n_threads: int | None = None) -> Iterator[None]:
    """Set what fastmlp uses inside a ``with`` block, in this thread or asynchronous task.

    Parameters
    ----------
    backend : {"auto", "c", "numba", "numpy"} or None, default=None
        The backend of everything that was given ``backend="auto"``. It wins over the environment variable
        ``FASTMLP_BACKEND``; "auto" stands for the fastest there is; None changes nothing.
    n_threads : int or None, default=None
        Threads of everything of the C backend that was given ``n_threads=None``: so many, or with -1 all that the
        environment allows (see `fastmlp.MLPClassifier`); None changes nothing.

    Raises
    ------
    TypeError, ValueError
        When there is no such backend, or no such number.

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.Network([2, 3, 1], random_state=0)
    >>> with fastmlp.config_context(backend="numpy"):
    ...     net.forward([[0.0, 1.0]]).shape
    (1, 1)
    """
    n_threads = check_n_threads(n_threads)
    token = configured.set(configured.get() if backend is None else check_backend_name(backend))
    try:
        with requested(n_threads):
            yield
    finally:
        configured.reset(token)
