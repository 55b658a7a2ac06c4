"""An OpenID Connect provider small enough to read: discovery, authorize, token, keys; real signatures."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from werkzeug.wrappers import Response as AnyResponse

from broker.demo.idps.faults import SKEW_SECONDS, Fault, FaultSwitch, install_switch, may_fail
from broker.demo.idps.login_page import Look, create_provider_app, render_login, render_refusal
from broker.demo.people import Person

CODE_SECONDS = 60
ID_TOKEN_SECONDS = 3600
POSSIBLE_FAULTS = frozenset(Fault) - {Fault.EXPIRED_CERTIFICATE}
"""Signing keys of OpenID Connect do not end by themselves."""
_KEPT = ("client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "login_hint")


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The broker's registration at this provider."""

    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a kind of provider puts its endpoints, below its origin."""

    issuer: str
    authorize: str
    token: str
    keys: str


@dataclass(frozen=True, slots=True)
class _Code:
    person: Person
    parameters: Mapping[str, str]
    signed_in_at: int


class OidcIdp:
    """A provider with one relying party. `people` may be changed while it runs; `rotate_key` changes its key.

    `issued` keeps every token given out, so that a test can look for it where it must not be.
    `switch` makes it faulty. Subclasses say which claims their ID tokens carry.
    """

    def __init__(
        self,
        *,
        look: Look,
        origin: str,
        paths: Paths,
        people: Sequence[Person],
        algorithm: str,
        clock: Callable[[], float] = time.time,
        fault: Fault | None = None,
    ) -> None:
        self.look = look
        self.switch = FaultSwitch(POSSIBLE_FAULTS, fault)
        self.people = {person.key: person for person in people}
        self.issuer = origin + paths.issuer
        self._origin = origin
        self._paths = paths
        self._algorithm = algorithm
        self.clock = clock
        self._party: RelyingParty | None = None
        self._keys: list[Key] = []
        self._codes: dict[str, _Code] = {}
        self.issued: list[str] = []
        self._lock = threading.Lock()
        self.rotate_key()

    def register(self, redirect_uri: str) -> RelyingParty:
        """Register the broker and return its credentials."""
        self._party = RelyingParty(f"demo-{secrets.token_hex(6)}", secrets.token_urlsafe(32), redirect_uri)
        return self._party

    def rotate_key(self) -> None:
        """Sign with a new key from now on; the one before stays published for tokens on their way."""
        self._keys = [_make_key(self._algorithm), *self._keys[:1]]

    def id_claims(self, person: Person, client_id: str, scopes: frozenset[str]) -> dict[str, Any]:
        """The claims about a person; the protocol's own (iss, aud, nonce and times) are added to them."""
        return {"sub": person.subject, "name": person.name, "email": person.email}

    def group_claims(self, person: Person, scopes: frozenset[str]) -> dict[str, Any]:
        """The claims about a person's groups."""
        return {"groups": list(person.groups)}

    def discovery(self) -> dict[str, Any]:
        """The provider's OpenID configuration."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self._origin + self._paths.authorize,
            "token_endpoint": self._origin + self._paths.token,
            "jwks_uri": self._origin + self._paths.keys,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._algorithm],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "profile", "email", "groups"],
        }

    def key_set(self) -> dict[str, Any]:
        """The published public keys."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def create_app(self) -> Flask:
        """The provider as a Flask application."""
        app = create_provider_app(f"idp_{self.look.tone}")
        well_known = f"{self._paths.issuer}/.well-known/openid-configuration"
        machines = {
            "discovery": (well_known, lambda: jsonify(self.discovery()), "GET"),
            "keys": (self._paths.keys, lambda: jsonify(self.key_set()), "GET"),
            "token": (self._paths.token, self._token, "POST"),
        }
        for name, (path, view, method) in machines.items():
            app.add_url_rule(path, name, may_fail(self.switch, view), methods=[method])
        app.add_url_rule(self._paths.authorize, "authorize", self._authorize, methods=["GET", "POST"])
        install_switch(app, self.switch)
        return app

    def _authorize(self) -> AnyResponse | str | tuple[str, int]:
        given = request.values
        party = self._party
        if party is None or given.get("client_id") != party.client_id:
            return render_refusal(self.look, "This application is not registered here.")
        if given.get("redirect_uri") != party.redirect_uri:
            return render_refusal(self.look, "The redirect URI is not the registered one.")
        if request.method == "GET" and given.get("response_type") != "code":
            return self._answer(given, error="unsupported_response_type")
        if request.method == "GET" and given.get("code_challenge_method") != "S256":
            return self._answer(given, error="invalid_request")
        kept = {name: given[name] for name in _KEPT if name in given}
        person = self.people.get(request.form.get("person", ""))
        if person is None:
            return render_login(self.look, list(self.people.values()), kept, kept.get("login_hint", ""))
        refusal = self.refusal(person)
        if refusal:
            return self._answer(given, **refusal)
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(person, kept, int(self.clock()))
        return self._answer(given, code=code)

    def refusal(self, person: Person) -> dict[str, str]:
        """The error with which this provider sends a person back, or nothing."""
        return {}

    def _answer(self, given: Mapping[str, str], **answer: str) -> AnyResponse:
        state = {"state": given["state"]} if "state" in given else {}
        return redirect(f"{given['redirect_uri']}?{urlencode({**answer, **state})}", 303)

    def _token(self) -> tuple[Response, int]:
        form = request.form
        party = self._party
        if party is None or not _is_authenticated(party, form):
            return jsonify(error="invalid_client"), 401
        with self._lock:
            code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.signed_in_at + CODE_SECONDS < self.clock():
            return jsonify(
                error="invalid_grant", error_description="The code is unknown, used or too old."
            ), 400
        challenge = code.parameters.get("code_challenge", "")
        if form.get("redirect_uri") != party.redirect_uri or not _fits(
            form.get("code_verifier", ""), challenge
        ):
            return jsonify(
                error="invalid_grant", error_description="The code belongs to another request."
            ), 400
        response = jsonify(self._issue(code, party.client_id))
        response.headers["Cache-Control"] = "no-store"
        return response, 200

    def _issue(self, code: _Code, client_id: str) -> dict[str, Any]:
        access_token = secrets.token_urlsafe(32)
        id_token = self._id_token(code, client_id, access_token)
        self.issued += [access_token, id_token]
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": ID_TOKEN_SECONDS,
            "scope": code.parameters.get("scope", ""),
            "id_token": id_token,
        }

    def _id_token(self, code: _Code, client_id: str, access_token: str) -> str:
        is_on = self.switch.is_on
        now = int(self.clock()) + (SKEW_SECONDS if is_on(Fault.CLOCK_SKEW) else 0)
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        protocol = {
            "iss": self.issuer + ("/elsewhere" if is_on(Fault.WRONG_ISSUER) else ""),
            "aud": "another-application" if is_on(Fault.WRONG_AUDIENCE) else client_id,
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
        }
        nonce = {"nonce": code.parameters["nonce"]} if "nonce" in code.parameters else {}
        scopes = frozenset(code.parameters.get("scope", "").split())
        groups = {} if is_on(Fault.MISSING_GROUPS) else self.group_claims(code.person, scopes)
        return self._sign({**protocol, **nonce, **self.id_claims(code.person, client_id, scopes), **groups})

    def _sign(self, claims: dict[str, Any]) -> str:
        if self.switch.is_on(Fault.UNSIGNED):
            return f"{_segment({'alg': 'none'})}.{_segment(claims)}."
        key = _make_key(self._algorithm) if self.switch.is_on(Fault.ROTATED_KEY) else self._keys[0]
        header = {"alg": self._algorithm, "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=[self._algorithm])


def _make_key(algorithm: str) -> Key:
    kid = secrets.token_hex(8)
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": algorithm})
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": algorithm})


def _segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _is_authenticated(party: RelyingParty, form: Mapping[str, str]) -> bool:
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    if request.authorization is not None and request.authorization.type == "basic":
        client_id = unquote_plus(request.authorization.username or "")
        secret = unquote_plus(request.authorization.password or "")
    return client_id == party.client_id and hmac.compare_digest(secret, party.client_secret)


def _fits(verifier: str, challenge: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)
