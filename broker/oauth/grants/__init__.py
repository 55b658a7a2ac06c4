"""Grant types: one file each, one entry here; discovery reads this table.

Each says what it contributes to the pipeline (a ``Basis``) and consumes what it was given.
Only the pipeline and discovery read it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from broker.kernel.group_commit import Ahead, Transaction
from broker.oauth import upstream_tokens
from broker.oauth.basis import TOKEN_EXCHANGE, Basis
from broker.oauth.calls import Call
from broker.oauth.foreign_jwts import JWT_BEARER
from broker.oauth.grants import (
    authorization_code,
    client_credentials,
    device_code,
    jwt_bearer,
    refresh_token,
    token_exchange,
)


class GrantType(Protocol):
    """A module with ``collect``; ``REFUSAL_UNDOES`` says whether a refusal gives back what it consumed."""

    REFUSAL_UNDOES: bool

    def collect(self, tx: Transaction, call: Call) -> Basis:
        """Return what the token may be based on, having consumed what was presented; raises ``Refusal``."""
        ...


GRANTS: dict[str, GrantType] = {
    "authorization_code": authorization_code,
    "refresh_token": refresh_token,
    "client_credentials": client_credentials,
    TOKEN_EXCHANGE: token_exchange,
    JWT_BEARER: jwt_bearer,
    "urn:ietf:params:oauth:grant-type:device_code": device_code,
}
PREPARATIONS: dict[str, Callable[[Call], Call]] = {
    JWT_BEARER: jwt_bearer.prepare,
    TOKEN_EXCHANGE: upstream_tokens.prepare,
}
"""What a grant type must do before the transaction, because it may wait for another server."""

AHEAD: dict[str, Callable[[Call], Sequence[Ahead]]] = {
    TOKEN_EXCHANGE: token_exchange.ahead,
}
"""What a grant type will look for in its transaction, told before it: a batch looks for all of it at once."""
