"""Asks an OpenID provider for a fresh or stronger sign-in (OpenID Connect Core 3.1.2.1, RFC 9470)."""

import json
from collections.abc import Mapping
from typing import Any

from idp_connectors.base import AskedProof
from idp_connectors.oidc.config import OidcConfig


def proof_parameters(proof: AskedProof | None, config: OidcConfig) -> dict[str, str]:
    """Return the authorization parameters that ask for this proof; none where the provider knows none."""
    if proof is None or config.step_up == "none":
        return {}
    asked: dict[str, str] = {}
    if proof.max_age is not None:
        asked["max_age"] = str(proof.max_age)
    if proof.login:
        # With an age, because only then must the answer say when the person signed in (Core 2).
        asked |= {"prompt": "login", "max_age": "0"}
    values = [value for value in proof.acr_values if value in config.step_up_values]
    if values and config.step_up == "acr_values":
        asked["acr_values"] = " ".join(values)
    elif values:
        asked["claims"] = json.dumps({"id_token": {"acrs": {"essential": True, "value": values[0]}}})
    return asked


def read_acr(claims: Mapping[str, Any], config: OidcConfig) -> str:
    """Return what the provider says was met: `acr`, or in Entra the first listed context in `acrs`.

    A value that this connection does not list is not taken from `acrs`. Without this: Entra's contexts
    that no policy guards stand in every token, and prove nothing.
    """
    if config.step_up == "acrs":
        met = claims.get("acrs")
        found = [value for value in config.step_up_values if isinstance(met, list) and value in met]
        return found[0] if found else ""
    acr = claims.get("acr")
    return acr if isinstance(acr, str) else ""
