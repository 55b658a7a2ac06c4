"""Microsoft's cloud in this process: sign-in for several directories, and Graph with its pages and moods."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from idp_connectors.base import Begun, Callback
from tests.builders.lookup_source import LookupSource, form_of
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET, OpenIdProvider

LOGIN, GRAPH = "login.microsoftonline.com", "graph.microsoft.com"
TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "99999999-2222-3333-4444-555555555555"
PERSON = "aaaaaaaa-0000-0000-0000-00000000000a"
TEMPLATE = f"https://{LOGIN}/{{tenantid}}/v2.0"
ISSUER = f"https://{LOGIN}/{TENANT}/v2.0"
RETIRED_LINK = f"https://graph.windows.net/{TENANT}/users/{PERSON}/getMemberObjects"


def group_id(number: int) -> str:
    """Return the object id of a group."""
    return f"cccccccc-0000-0000-0000-{number:012d}"


def overage(link: str = RETIRED_LINK) -> dict[str, Any]:
    """Return the claims by which Entra says that there are more groups than fit."""
    return {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": link}}}


class Graph(LookupSource):
    """Token endpoint and Graph of one cloud; `members` maps a person to numbers of groups."""

    def __init__(self, login: str = LOGIN, graph: str = GRAPH) -> None:
        super().__init__()
        self.login, self.graph = login, graph
        self.members: dict[str, list[int]] = {PERSON: [1, 2, 3]}
        self.page_size = 999
        self.next_link: str | None = None
        self.tokens: dict[str, str] = {}

    def token(self, request: httpx2.Request) -> httpx2.Response:
        form, tenant = form_of(request), request.url.path.split("/")[1]
        assert request.url.host == self.login
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return httpx2.Response(401, json={"error": "invalid_client", "error_codes": [7000215]})
        assert form["scope"] == f"https://{self.graph}/.default"
        token = f"app.{tenant}.{len(self.tokens)}"
        self.tokens[token] = tenant
        return httpx2.Response(200, json={"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.host == self.graph, f"nobody may ask {request.url}"
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        if bearer not in self.tokens:
            return self.error(401, "InvalidAuthenticationToken")
        assert request.headers["consistencylevel"] == "eventual"
        _, version, users, person, relation, cast = request.url.path.split("/")
        assert (version, users, relation) == ("v1.0", "users", "transitiveMemberOf")
        assert cast == "microsoft.graph.group"
        if person not in self.members:
            return self.error(404, "Request_ResourceNotFound")
        return self._page(request, self.members[person])

    def _page(self, request: httpx2.Request, numbers: list[int]) -> httpx2.Response:
        query = parse_qs(urlsplit(str(request.url)).query)
        start = int(query.get("$skiptoken", ["0"])[0])
        shown = numbers[start : start + min(self.page_size, int(query.get("$top", ["100"])[0]))]
        page: dict[str, Any] = {
            "@odata.context": f"https://{self.graph}/v1.0/$metadata#groups",
            "value": [{"id": group_id(number), "displayName": f"Group {number}"} for number in shown],
        }
        if start + len(shown) < len(numbers):
            own = f"https://{self.graph}{request.url.path}?$top=999&$skiptoken={start + len(shown)}"
            page["@odata.nextLink"] = self.next_link or own
        return httpx2.Response(200, json=page)

    def error(self, status: int, code: str) -> httpx2.Response:
        """Return an error as Graph words it."""
        inner = {"date": "2026-01-01T00:00:00", "request-id": "g", "client-request-id": "g"}
        return httpx2.Response(status, json={"error": {"code": code, "message": code, "innerError": inner}})


class MicrosoftCloud(OpenIdProvider):
    """Sign-in at Entra together with Graph; to ask any other host is a failed assertion."""

    def __init__(self, issuer: str = ISSUER) -> None:
        super().__init__(issuer)
        self.graph = Graph()
        self.published = [{**self.published[0], "issuer": TEMPLATE}]
        self.answer_issuer = ""

    def sign_in(self, begun: Begun, *, sub: str = "u-1", **claims: Any) -> Callback:
        """Act as browser and person; Entra does not say in the answer who it is, unless told to."""
        callback = super().sign_in(begun, sub=sub, **claims)
        others = {name: value for name, value in callback.query.items() if name != "iss"}
        return replace(callback, query=others | ({"iss": self.answer_issuer} if self.answer_issuer else {}))

    def metadata(self) -> dict[str, Any]:
        """Return the discovery document; its endpoints lie elsewhere than below the issuer."""
        base = f"https://{LOGIN}/organizations"
        endpoints = {
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
        }
        return {"issuer": self.issuer, **endpoints, **self.metadata_extra}

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        url, path = request.url, request.url.path
        self.requests.append(str(url))
        if url.host == GRAPH or (path.endswith("/token") and b"client_credentials" in request.content):
            return self.graph.serve(request)
        assert url.host == LOGIN, f"nobody may ask {url}"
        if path.endswith("/.well-known/openid-configuration"):
            return httpx2.Response(200, json=self.metadata())
        if path.endswith("/keys"):
            return httpx2.Response(200, json={"keys": self.published})
        return self._token(request)


def entra_claims(**claims: Any) -> dict[str, Any]:
    """Return the claims of a person of `TENANT`."""
    return json.loads(json.dumps({"iss": ISSUER, "tid": TENANT, "oid": PERSON, **claims}))
