"""What the demo's declaration is filled in with: addresses of this start, and secrets that nobody keeps."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from string import Template

from joserfc.jwk import ECKey

from broker.demo.idps.entra_like import EntraLike
from broker.demo.idps.google_like import GoogleLike
from broker.demo.idps.okta_like import OktaLike

TENANT = "acme"
DECLARATION = Path(__file__).with_name("world.yaml")


@dataclass(frozen=True, slots=True)
class Providers:
    """The three identity providers."""

    okta: OktaLike
    entra: EntraLike
    google: GoogleLike


@dataclass(frozen=True, slots=True)
class Declared:
    """The declaration ready to apply, and the credentials that the demo's parties hold."""

    text: str
    environ: dict[str, str]
    desk_secret: str
    planner_secret: str
    writer_key: ECKey


def declare_world(providers: Providers, *, tenant_url: str, mcp_url: str, planner_callback: str) -> Declared:
    """Register the broker at each provider and fill in the declaration."""
    okta = providers.okta.register(f"{tenant_url}/oidc/okta/callback")
    entra = providers.entra.register(f"{tenant_url}/oidc/entra/callback")
    base = f"{tenant_url}/saml/google"
    providers.google.register(f"{base}/metadata", f"{base}/acs")
    pem_lines = [line for line in providers.google.certificate_pem.splitlines() if "-----" not in line]
    text = Template(DECLARATION.read_text(encoding="utf-8")).substitute(
        okta_issuer=providers.okta.issuer,
        okta_client_id=okta.client_id,
        entra_issuer=providers.entra.issuer,
        entra_client_id=entra.client_id,
        google_entity_id=providers.google.entity_id,
        google_sso_url=providers.google.sso_url,
        google_certificate="".join(pem_lines),
        mcp_url=mcp_url,
        planner_callback=planner_callback,
    )
    desk_secret, planner_secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    writer_key = ECKey.generate_key("P-256", {"kid": "writer-1", "use": "sig", "alg": "ES256"})
    environ = {
        "DEMO_OKTA_SECRET": okta.client_secret,
        "DEMO_ENTRA_SECRET": entra.client_secret,
        "DEMO_DESK_SECRET": desk_secret,
        "DEMO_PLANNER_SECRET": planner_secret,
        "DEMO_WRITER_KEYS": json.dumps({"keys": [writer_key.as_dict(private=False)]}),
    }
    return Declared(text, environ, desk_secret, planner_secret, writer_key)
