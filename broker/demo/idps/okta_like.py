"""Okta-like: a custom authorization server, ES256, group names, and what the sign-in proved."""

import time
from typing import Any

from broker.demo.idps.login_page import Look
from broker.demo.idps.oidc_idp import OidcIdp, Paths
from broker.demo.people import Person, okta_people

_ISSUER = "/oauth2/default"


class OktaLike(OidcIdp):
    """Groups are names and come only for the scope `groups`; `amr` and `acr` tell how somebody signed in."""

    def __init__(self, origin: str) -> None:
        super().__init__(
            look=Look("Okta-like", "acme.test", "first"),
            origin=origin,
            paths=Paths(_ISSUER, f"{_ISSUER}/v1/authorize", f"{_ISSUER}/v1/token", f"{_ISSUER}/v1/keys"),
            people=okta_people(),
            algorithm="ES256",
        )

    def id_claims(self, person: Person, client_id: str, scopes: frozenset[str]) -> dict[str, Any]:
        """Claims of a custom authorization server; `ver` is a number and `groups` a list of names."""
        has_second_factor = "mfa" in person.amr
        claims: dict[str, Any] = {
            "sub": person.subject,
            "name": person.name,
            "given_name": person.given_name,
            "family_name": person.family_name,
            "email": person.email,
            "email_verified": True,
            "preferred_username": person.email,
            "ver": 1,
            "idp": "00o1demo0rg",
            "amr": list(person.amr),
            "acr": f"urn:okta:loa:{'2fa:any' if has_second_factor else '1fa:any'}",
            "auth_time": int(time.time()),
        }
        if "groups" in scopes:
            claims["groups"] = list(person.groups)
        return claims
