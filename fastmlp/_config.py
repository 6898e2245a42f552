"""Settings of a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastmlp.backends import check_backend_name, configured


@contextmanager
def config_context(*, backend: str | None = None) -> Iterator[None]:
    """Set what fastmlp uses inside a ``with`` block, in this thread or asynchronous task.

    Parameters
    ----------
    backend : {"auto", "c", "numpy"} or None, default=None
        The backend of everything that was given ``backend="auto"``. It wins over the environment variable
        ``FASTMLP_BACKEND``; "auto" stands for the fastest there is; None changes nothing.

    Raises
    ------
    TypeError, ValueError
        When there is no such backend.

    Examples
    --------
    >>> import fastmlp
    >>> net = fastmlp.Network([2, 3, 1], random_state=0)
    >>> with fastmlp.config_context(backend="numpy"):
    ...     net.forward([[0.0, 1.0]]).shape
    (1, 1)
    """
    if backend is None:
        yield
        return
    token = configured.set(check_backend_name(backend))
    try:
        yield
    finally:
        configured.reset(token)
