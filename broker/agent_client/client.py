"""The agent's side of OAuth, for one resource: six lines from an address to a delegated token."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2

from broker.agent_client.authentication import ClientAuthentication
from broker.agent_client.dpop import DpopKey
from broker.agent_client.finding import FoundServer, find_server
from broker.agent_client.refusals import ConsentRequired, OAuthRefused
from broker.agent_client.store import BegunSignIn, MemoryStore, Tokens, TokenStore

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a type, not a secret)
PERSONAL_TOKEN_TYPE = "urn:agent-sso-broker:token-type:personal_token"  # noqa: S105 (a type)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TIMEOUT_SECONDS = 20.0
MARGIN_SECONDS = 30
"""A token that ends sooner is not handed out any more: the call that it is for takes time too."""


class AgentClient:
    """An agent with one client at the broker, for one ``resource``: an MCP server's or API's address.

    Every other address is learned from the resource's challenge. ``person`` is whatever the agent calls a
    person of its own; tokens of different persons never mix. With ``dpop`` every token is bound to that key,
    and one that is not is refused; `headers` says how to send it. Safe to share between threads.
    """

    def __init__(
        self,
        resource: str,
        authentication: ClientAuthentication,
        *,
        redirect_uri: str = "",
        store: TokenStore | None = None,
        dpop: DpopKey | None = None,
        http: httpx2.Client | None = None,
    ) -> None:
        self.resource = resource
        self.client_id = authentication.client_id
        self._authentication = authentication
        self._redirect_uri = redirect_uri
        self._store = store or MemoryStore()
        self._dpop = dpop
        self._http = http or httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False)
        self._server: FoundServer | None = None

    def token(self, scope: str, *, person: str = "") -> str:
        """Return an access token for ``scope`` with which the agent acts for ``person`` now.

        A kept token is used while it lasts, then refreshed. Raises ``ConsentRequired`` when the person has
        to be asked, ``OAuthRefused`` for any other refusal.
        """
        kept = self._store.load(person)
        if kept is None or not set(scope.split()) <= set(kept.scope.split()):
            raise ConsentRequired(self.begin(scope, person=person))
        if kept.expires_at > time.time() + MARGIN_SECONDS:
            return kept.access_token
        return self._refreshed(kept, scope, person).access_token

    def begin(self, scope: str, *, person: str = "") -> str:
        """Return where the person's browser has to go to allow this agent (RFC 6749 §4.1.1 with PKCE)."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        self._store.begin(state, BegunSignIn(person, verifier))
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": scope,
            "resource": self.resource,
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
            # Without this: a code that was stolen on its way could be redeemed with the thief's key.
            **({"dpop_jkt": self._dpop.thumbprint} if self._dpop else {}),
        }
        return f"{self.server.endpoint('authorization')}?{urlencode(query)}"

    def finish(self, query: Mapping[str, str]) -> Tokens:
        """Redeem what came back to the redirect URI and keep the tokens for the person who began.

        Raises ``OAuthRefused``, or ``ValueError`` for an answer that belongs to nothing begun here.
        """
        begun = self._store.take(query.get("state", ""))
        # Without this: somebody else's answer could be slipped into this agent's session (CSRF).
        if begun is None:
            raise ValueError("This answer belongs to no sign-in that was begun here.")
        # Without this: the answer of another server could be mixed into this sign-in (RFC 9207).
        if query.get("iss") != self.server.issuer:
            raise ValueError("The answer is from another issuer.")
        if "error" in query:
            raise OAuthRefused(400, query["error"], query.get("error_description", ""))
        form = {"code": query["code"], "redirect_uri": self._redirect_uri, "code_verifier": begun.verifier}
        tokens = self._tokens("authorization_code", form)
        self._store.save(begun.person, tokens)
        return tokens

    def own_token(self, scope: str) -> Tokens:
        """Return a token in which the agent speaks for itself (RFC 6749 §4.4), also its proof as an actor."""
        return self._tokens("client_credentials", {"scope": scope})

    def join_chain(self, subject_token: str, scope: str, *, own_scope: str = "") -> Tokens:
        """Exchange a token that another agent handed over for one in which this agent acts (RFC 8693).

        ``own_scope`` is asked for the actor token, where the agent may not have ``scope`` in its own name.
        """
        form = {
            "subject_token": subject_token,
            "subject_token_type": ACCESS_TOKEN_TYPE,
            "actor_token": self.own_token(own_scope or scope).access_token,
            "actor_token_type": ACCESS_TOKEN_TYPE,
            "scope": scope,
        }
        return self._tokens(EXCHANGE, form)

    def narrow(self, token: str, scope: str) -> Tokens:
        """Exchange a token of this agent's for one that may do less, to be handed over (RFC 8693)."""
        form = {"subject_token": token, "subject_token_type": ACCESS_TOKEN_TYPE, "scope": scope}
        return self._tokens(EXCHANGE, form)

    def act_for_owner(self, personal_token: str, scope: str) -> Tokens:
        """Exchange a token that a person made for this agent, for one with which it acts for them now."""
        form = {
            "subject_token": personal_token,
            "subject_token_type": PERSONAL_TOKEN_TYPE,
            "scope": scope,
        }
        return self._tokens(EXCHANGE, form)

    def headers(self, method: str, token: str, *, url: str = "", nonce: str = "") -> dict[str, str]:
        """Return the headers with which ``token`` is sent to ``url``, the resource unless told otherwise."""
        if self._dpop is None:
            return {"Authorization": f"Bearer {token}"}
        proof = self._dpop.proof(method, url or self.resource, token=token, nonce=nonce)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    def revoke(self, token: str) -> None:
        """End a token of this client and everything derived from it (RFC 7009); raises ``OAuthRefused``."""
        headers, fields = self._authentication.apply(self.server.issuer)
        form = {"token": token, **fields}
        _answer(self._http.post(self.server.endpoint("revocation"), data=form, headers=headers))

    @property
    def server(self) -> FoundServer:
        """The resource's authorization server, found once; raises as ``find_server`` does."""
        if self._server is None:
            self._server = find_server(self._http, self.resource)
        return self._server

    def close(self) -> None:
        """Close the agent's connections."""
        self._http.close()

    def _refreshed(self, kept: Tokens, scope: str, person: str) -> Tokens:
        if not kept.refresh_token:
            raise ConsentRequired(self.begin(scope, person=person))
        try:
            tokens = self._tokens("refresh_token", {"refresh_token": kept.refresh_token})
        except OAuthRefused as refusal:
            if refusal.error not in {"invalid_grant", "insufficient_user_authentication"}:
                raise
            self._store.save(person, None)
            raise ConsentRequired(self.begin(scope, person=person), refusal.error) from refusal
        self._store.save(person, tokens)
        return tokens

    def _tokens(self, grant_type: str, form: Mapping[str, str]) -> Tokens:
        headers, fields = self._authentication.apply(self.server.issuer)
        data = {"grant_type": grant_type, "resource": self.resource, **form, **fields}
        asked_at = int(time.time())
        document = _answer(self._post_proven(self.server.endpoint("token"), data, headers))
        # Without this: an agent would believe its token protected by a key that nobody asks for.
        if self._dpop is not None and str(document.get("token_type", "")).lower() != "dpop":
            raise OAuthRefused(200, "invalid_token", "The server did not bind the token to the agent's key.")
        return Tokens(
            access_token=str(document["access_token"]),
            expires_at=asked_at + int(document.get("expires_in", 0)),
            scope=str(document.get("scope", "")),
            refresh_token=str(document.get("refresh_token", "")),
        )

    def _post_proven(self, url: str, data: dict[str, str], headers: dict[str, str]) -> httpx2.Response:
        """Send a form with a proof of the agent's key; once more where the server wants a nonce in it."""
        if self._dpop is None:
            return self._http.post(url, data=data, headers=headers)
        proven = {**headers, "DPoP": self._dpop.proof("POST", url)}
        response = self._http.post(url, data=data, headers=proven)
        nonce = response.headers.get("dpop-nonce", "")
        if response.status_code != 400 or not nonce:
            return response
        proven["DPoP"] = self._dpop.proof("POST", url, nonce=nonce)
        return self._http.post(url, data=data, headers=proven)


def _answer(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json() if response.content else {}
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if response.status_code != 200:
        error = str(document.get("error", "server_error"))
        raise OAuthRefused(response.status_code, error, str(document.get("error_description", "")))
    return document


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
