"""Entra-like: one issuer per tenant id, RS256, GUID groups, no evidence of how somebody signed in."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from broker.demo.idps.faults import Fault
from broker.demo.idps.login_page import Look
from broker.demo.idps.oidc_idp import OidcIdp, Paths
from broker.demo.people import ENTRA_TENANT_ID, Person, entra_people

GROUP_LIMIT = 200


class EntraLike(OidcIdp):
    """`oid` with `tid` is the stable identity, `sub` differs per application; over 200 groups none come."""

    def __init__(
        self, origin: str, clock: Callable[[], float] = time.time, fault: Fault | None = None
    ) -> None:
        base = f"/{ENTRA_TENANT_ID}"
        super().__init__(
            look=Look("Entra-like", "acme-werke.test", "second"),
            origin=origin,
            paths=Paths(
                f"{base}/v2.0",
                f"{base}/oauth2/v2.0/authorize",
                f"{base}/oauth2/v2.0/token",
                f"{base}/discovery/v2.0/keys",
            ),
            people=entra_people(),
            algorithm="RS256",
            clock=clock,
            fault=fault,
        )

    def id_claims(self, person: Person, client_id: str, scopes: frozenset[str]) -> dict[str, Any]:
        """Claims of a version 2 token: neither `email_verified` nor `amr`, `acr` or `auth_time`."""
        pairwise = hashlib.sha256(f"{client_id}/{person.subject}".encode()).hexdigest()[:43]
        return {
            "sub": pairwise,
            "oid": person.subject,
            "tid": ENTRA_TENANT_ID,
            "ver": "2.0",
            "nbf": int(self.clock()),
            "name": person.name,
            "preferred_username": person.email,
            "email": person.email,
        }

    def group_claims(self, person: Person, scopes: frozenset[str]) -> dict[str, Any]:
        """Object ids; or, when there are too many, only where they could be asked for."""
        if len(person.groups) <= GROUP_LIMIT and not self.switch.is_on(Fault.OVERAGE):
            return {"groups": list(person.groups)}
        # The address is the one that the real provider still names although nothing answers there.
        endpoint = f"https://graph.windows.net/{ENTRA_TENANT_ID}/users/{person.subject}/getMemberObjects"
        return {
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": endpoint}},
        }
