"""The verified token of the request that is being served, for code without access to the request."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from broker.resource_server.values import VerifiedToken

_current: ContextVar[VerifiedToken | None] = ContextVar("verified_token", default=None)


def current_token() -> VerifiedToken:
    """The token of the current request. Raises LookupError outside a request that an adapter let through."""
    token = _current.get()
    if token is None:
        raise LookupError("There is no verified token: this code runs outside a protected request.")
    return token


@contextmanager
def serving(token: VerifiedToken) -> Iterator[None]:
    """Make `token` the current one while a request is served."""
    mark = _current.set(token)
    try:
        yield
    finally:
        _current.reset(mark)
