"""An Okta organisation's token endpoint and Management API in this process, with pages by Link header."""

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.builders.lookup_source import LookupSource, form_of

HOST = "acme.okta.example"
ISSUER = f"https://{HOST}/oauth2/default"
USER = "00u1abcd2EFGH3ijk0h7"
API_CLIENT = "0oaservice"
KEY = RSAKey.generate_key(2048, {"kid": "api-1"}, private=True)


class OktaOrganisation(LookupSource):
    """`groups` maps a user id to names of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, list[str]] = {USER: ["Everyone", "agents-finance"]}
        self.page_size = 200
        self.next_link: str | None = None
        self.proofs: list[str] = []

    def token(self, request: httpx2.Request) -> httpx2.Response:
        assert str(request.url) == f"https://{HOST}/oauth2/v1/token", f"nobody may ask {request.url}"
        form = form_of(request)
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        proof = jwt.decode(form["client_assertion"], KEY, algorithms=["RS256"])
        assert proof.claims["aud"] == str(request.url)
        assert proof.claims["jti"] not in self.proofs
        self.proofs.append(proof.claims["jti"])
        if (proof.claims["iss"], proof.claims["sub"]) != (API_CLIENT, API_CLIENT):
            return httpx2.Response(401, json={"error": "invalid_client"})
        if set(form["scope"].split()) != {"okta.groups.read", "okta.users.read"}:
            return httpx2.Response(400, json={"error": "invalid_scope"})
        return httpx2.Response(200, json={"access_token": "eyJ.okta.1", "expires_in": 3600})

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.host == HOST, f"nobody may ask {request.url}"
        assert request.headers["authorization"] == "Bearer eyJ.okta.1"
        _, api, version, users, user, groups = request.url.path.split("/")
        assert (api, version, users, groups) == ("api", "v1", "users", "groups")
        if user not in self.groups:
            return self.error(404, "E0000007")
        query, names = dict(request.url.params), self.groups[user]
        start = int(query.get("after", "0"))
        shown = names[start : start + min(self.page_size, int(query["limit"]))]
        links = [("Link", f'<https://{HOST}{request.url.path}?limit=200>; rel="self"')]
        if start + len(shown) < len(names):
            own = f"https://{HOST}{request.url.path}?after={start + len(shown)}&limit=200"
            links.append(("Link", f'<{self.next_link or own}>; rel="next"'))
        page = [
            {"id": f"00g{start + place}", "type": "OKTA_GROUP", "profile": {"name": name}}
            for place, name in enumerate(shown)
        ]
        return httpx2.Response(200, headers=links, json=page)

    def error(self, status: int, code: str) -> httpx2.Response:
        """Return an error as Okta words it."""
        return httpx2.Response(status, json={"errorCode": code, "errorSummary": code, "errorId": "x"})
