"""The checks of an access token, in the order in which they are made (RFC 9068 §4, RFC 8693 §4.1)."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from broker.resource_server.issuer_client import IssuerUnavailable
from broker.resource_server.issuer_keys import ALGORITHMS, IssuerKeys
from broker.resource_server.jwt_parsing import MAX_TOKEN_BYTES, ParsedToken, parse_access_token
from broker.resource_server.refusals import TokenRefused, invalid_token, issuer_unavailable
from broker.resource_server.values import Actor, VerifiedToken

CLOCK_SKEW_SECONDS = 30
MAX_CHAIN_DEPTH = 8


class _SignatureRegistry(jws.JWSRegistry):
    """joserfc with our own size bound, and without refusing header members that we ignore on purpose."""

    max_header_length = MAX_TOKEN_BYTES


class Verifier:
    """Verifies tokens of one issuer for one resource, without asking the issuer about the single token."""

    def __init__(
        self,
        *,
        resource: str,
        issuer: str,
        keys: IssuerKeys,
        clock: Callable[[], float],
        actor_required: bool = False,
    ) -> None:
        self._resource = resource
        self._issuer = issuer
        self._keys = keys
        self._clock = clock
        self._actor_required = actor_required
        self._registry = _SignatureRegistry(algorithms=ALGORITHMS, strict_check_header=False)

    def verify(self, text: str) -> VerifiedToken:
        """Return what the token says, or raise TokenRefused (401 invalid_token, 503 without keys)."""
        token = parse_access_token(text)
        self._check_signature(token)
        claims = token.claims
        self._check_parties(claims)
        self._check_times(claims)
        chain = read_actor_chain(claims.get("act"))
        # Without this: an API meant for agents only would serve a person's own token (ACT-10).
        if self._actor_required and not chain:
            raise invalid_token("no_actor", "This resource serves delegated tokens only.")
        return VerifiedToken(
            subject=_required_text(claims, "sub"),
            actor=chain[0] if chain else None,
            chain=chain,
            scopes=_read_scopes(claims.get("scope", "")),
            roles=_read_roles(claims.get("roles", [])),
            client_id=_required_text(claims, "client_id"),
            jti=_required_text(claims, "jti"),
            expires_at=int(claims["exp"]),
            claims=MappingProxyType(claims),
            jkt=_read_key(claims),
        )

    def _check_signature(self, token: ParsedToken) -> None:
        try:
            published = self._keys.find(token.kid)
        except IssuerUnavailable as error:
            raise issuer_unavailable("keys_unavailable") from error
        if published is None:
            raise invalid_token("unknown_kid", "The token's key is not published by the issuer.")
        # Without this: the attacker's header, not the key's owner, would choose how the key is used.
        if token.algorithm not in published.algorithms:
            raise invalid_token("wrong_alg", "The token's signature algorithm does not fit its key.")
        try:
            jws.deserialize_compact(
                token.text, published.key, algorithms=[token.algorithm], registry=self._registry
            )
        except (JoseError, ValueError) as error:
            raise invalid_token("bad_signature", "The token's signature is wrong.") from error

    def _check_parties(self, claims: dict[str, Any]) -> None:
        # Without this: a token of another tenant that shares the key service would be accepted.
        if claims.get("iss") != self._issuer:
            raise invalid_token("wrong_iss", "The token is from another issuer.")
        # Without this: a token given to one resource could be replayed at every other one (O36, MCP-10).
        audience = claims.get("aud")
        if audience != self._resource and audience != [self._resource]:
            raise invalid_token("wrong_aud", "The token is for another resource.")

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock()
        expires_at, issued_at = _required_time(claims, "exp"), _required_time(claims, "iat")
        starts_at = _required_time(claims, "nbf") if "nbf" in claims else issued_at
        if expires_at <= now - CLOCK_SKEW_SECONDS:
            raise invalid_token("expired", "The token has expired.")
        if max(issued_at, starts_at) > now + CLOCK_SKEW_SECONDS:
            raise invalid_token("not_yet_valid", "The token is not valid yet.")


def read_actor_chain(act: object) -> tuple[Actor, ...]:
    """The actors of a nested `act` claim, current caller first. Raises TokenRefused for any other shape.

    Without this: a chain that cannot be read would be taken for no chain, and a delegated token would be
    treated as a person's own (ACT-01, ACT-04).
    """
    chain: list[Actor] = []
    while act is not None:
        if not isinstance(act, dict) or len(chain) == MAX_CHAIN_DEPTH:
            raise invalid_token("bad_act", "The token's actor chain is not well formed.")
        issuer, subject, profile = act.get("iss"), act.get("sub"), act.get("sub_profile", "")
        if not (_is_text(issuer) and _is_text(subject) and isinstance(profile, str)):
            raise invalid_token("bad_act", "The token's actor chain is not well formed.")
        chain.append(Actor(str(issuer), str(subject), profile))
        if "act" in act and act["act"] is None:
            raise invalid_token("bad_act", "The token's actor chain is not well formed.")
        act = act.get("act")
    return tuple(chain)


def compare_with_introspection(token: VerifiedToken, answer: dict[str, Any]) -> None:
    """Raise TokenRefused unless the issuer calls this very token active (RFC 7662 §2.2).

    Without the comparison: an answer about another token, from a cache or a proxy, would keep this one alive.
    """
    if answer.get("active") is not True:
        raise invalid_token("inactive", "The token was revoked or has expired.")
    audience = answer.get("aud")
    same = (
        answer.get("sub") == token.subject
        and (audience if isinstance(audience, list) else [audience]) == _as_list(token.claims.get("aud"))
        and answer.get("act") == token.claims.get("act")
        and answer.get("cnf") == token.claims.get("cnf")
        and answer.get("jti", token.jti) == token.jti
    )
    if not same:
        raise invalid_token("introspection_mismatch", "The issuer describes this token differently.")


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _required_text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _incomplete(name)
    return value


def _required_time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _incomplete(name)
    return float(value)


def _read_key(claims: dict[str, Any]) -> str:
    bound = claims.get("cnf", {"jkt": ""})
    jkt = bound.get("jkt") if isinstance(bound, dict) and len(bound) == 1 else None
    # Without this: a token that is bound in a way that we do not know would pass as a bearer token.
    if not isinstance(jkt, str) or ("cnf" in claims and not jkt):
        raise invalid_token("unknown_binding", "The token is bound in a way that is not supported here.")
    return jkt


def _read_scopes(value: object) -> frozenset[str]:
    if not isinstance(value, str):
        raise _incomplete("scope")
    return frozenset(value.split())


def _read_roles(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(role, str) for role in value):
        raise _incomplete("roles")
    return frozenset(value)


def _incomplete(name: str) -> TokenRefused:
    return invalid_token("bad_claim", f"The token's {name} claim is missing or not well formed.")
