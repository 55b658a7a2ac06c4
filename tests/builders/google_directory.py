"""Google's token endpoint and Directory API in this process: delegation, and direct groups only."""

import json
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.builders.connector_deps import NOW
from tests.builders.lookup_source import LookupSource, form_of

ADMIN = "admin@corp.example"
ACCOUNT = "107691503500061507151"
SERVICE = "groups@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/admin.directory.group.readonly"
KEY = RSAKey.generate_key(2048, {"kid": "key-1"}, private=True)


def key_file(**changes: Any) -> str:
    """Return a service account's key file as the console hands it out."""
    file = {
        "type": "service_account",
        "private_key_id": "key-1",
        "private_key": KEY.as_pem(private=True).decode(),
        "client_email": SERVICE,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({**file, **changes})


def address(name: str) -> str:
    """Return a group's address."""
    return f"{name}@corp.example"


class GoogleDirectory(LookupSource):
    """`parents` maps an account id or a group's address to the groups that it is directly in."""

    def __init__(self) -> None:
        super().__init__()
        self.parents: dict[str, list[str]] = {ACCOUNT: ["team"], address("team"): ["office"]}
        self.known = {ACCOUNT, "ada@corp.example"}
        self.page_size = 200
        self.next_page: str | None = None
        self.delegated = {SCOPE}
        self.now = NOW

    def token(self, request: httpx2.Request) -> httpx2.Response:
        assert str(request.url) == "https://oauth2.googleapis.com/token", f"nobody may ask {request.url}"
        form = form_of(request)
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        proof = jwt.decode(form["assertion"], KEY, algorithms=["RS256"])
        assert proof.header["kid"] == "key-1"
        assert proof.claims["aud"] == str(request.url)
        assert (proof.claims["iss"], proof.claims["sub"]) == (SERVICE, ADMIN)
        assert self.now <= proof.claims["exp"] <= self.now + 3600
        if not set(proof.claims["scope"].split()) <= self.delegated:
            return httpx2.Response(401, json={"error": "unauthorized_client"})
        return httpx2.Response(200, json={"access_token": "ya29.a-token_1", "expires_in": 3599})

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.host == "admin.googleapis.com", f"nobody may ask {request.url}"
        assert request.url.path == "/admin/directory/v1/groups"
        assert request.headers["authorization"] == "Bearer ya29.a-token_1"
        query = dict(request.url.params)
        member = query["userKey"]
        if member not in self.known and member not in self.parents and not member.endswith("@corp.example"):
            return self.error(404, "Resource Not Found: userKey")
        names, start = self.parents.get(member, []), int(query.get("pageToken", "0"))
        shown = names[start : start + min(self.page_size, int(query["maxResults"]))]
        page: dict[str, Any] = {"kind": "admin#directory#groups"}
        if shown:
            page["groups"] = [
                {"id": f"id-{name}", "email": address(name), "name": name.title(), "directMembersCount": "3"}
                for name in shown
            ]
        if start + len(shown) < len(names):
            page["nextPageToken"] = self.next_page or str(start + len(shown))
        return httpx2.Response(200, json=page)

    def error(self, status: int, message: str) -> httpx2.Response:
        """Return an error as Google words it."""
        inner = [{"domain": "global", "reason": "forbidden"}]
        return httpx2.Response(status, json={"error": {"code": status, "message": message, "errors": inner}})
