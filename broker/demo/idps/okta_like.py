"""Okta-like: a custom authorization server, ES256, group names, and what the sign-in proved."""

import time
from collections.abc import Callable
from typing import Any

from broker.demo.idps.faults import Fault
from broker.demo.idps.login_page import Look
from broker.demo.idps.oidc_idp import OidcIdp, Paths
from broker.demo.people import Person, okta_people

_ISSUER = "/oauth2/default"


class OktaLike(OidcIdp):
    """Groups are names and come only for the scope `groups`; `amr` and `acr` tell how somebody signed in."""

    def __init__(
        self, origin: str, clock: Callable[[], float] = time.time, fault: Fault | None = None
    ) -> None:
        super().__init__(
            look=Look("Okta-like", "acme.test", "first"),
            origin=origin,
            paths=Paths(_ISSUER, f"{_ISSUER}/v1/authorize", f"{_ISSUER}/v1/token", f"{_ISSUER}/v1/keys"),
            people=okta_people(),
            algorithm="ES256",
            clock=clock,
            fault=fault,
        )

    def id_claims(self, person: Person, client_id: str, scopes: frozenset[str]) -> dict[str, Any]:
        """Claims of a custom authorization server; `ver` is a number."""
        has_second_factor = "mfa" in person.amr
        return {
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
            "auth_time": int(self.clock()),
        }

    def group_claims(self, person: Person, scopes: frozenset[str]) -> dict[str, Any]:
        """Names, all of them or none."""
        return {"groups": list(person.groups)} if "groups" in scopes else {}

    def refusal(self, person: Person) -> dict[str, str]:
        """Too many groups are no shorter list: the person is sent back."""
        if not self.switch.is_on(Fault.OVERAGE):
            return {}
        why = "The groups claim matched too many groups and must be configured to match fewer groups."
        return {"error": "access_denied", "error_description": why}
