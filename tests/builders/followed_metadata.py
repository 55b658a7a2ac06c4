"""A SAML provider that publishes metadata at an address, and a tenant whose connection follows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lxml import etree
from sqlalchemy import select

from broker.audit.models import AuditRecord
from broker.federation.metadata_refresh import refresh_metadata
from broker.federation.models import MetadataReading
from broker.kernel.errors import ErrorCode, Refusal
from idp_connectors.registry import CONNECTORS
from idp_connectors.saml.config import SamlConfig
from tests.builders.saml_idp import (
    DS,
    IDP_ENTITY_ID,
    SSO_URL,
    SamlIdentityProvider,
    instant,
    key_and_certificate,
)
from tests.builders.world import World

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
URL = "https://idp.example/metadata"


@dataclass
class Publication:
    """What the provider publishes; ``signed_by`` names a key, empty leaves it unsigned."""

    keys: Sequence[str] = ("idp",)
    signed_by: str = "idp"
    entity_id: str = IDP_ENTITY_ID
    sso_url: str = SSO_URL
    valid_until: int | None = None
    use: str | None = "signing"
    is_away: bool = False
    bend: Callable[[bytes], bytes] = bytes

    def document(self) -> bytes:
        """The metadata as it is served."""
        attributes = {"entityID": self.entity_id, "ID": "_metadata1"}
        if self.valid_until is not None:
            attributes["validUntil"] = instant(self.valid_until)
        root = etree.Element(f"{{{MD}}}EntityDescriptor", attributes, nsmap={"md": MD, "ds": DS})
        protocol = {"protocolSupportEnumeration": "urn:oasis:names:tc:SAML:2.0:protocol"}
        role = etree.SubElement(root, f"{{{MD}}}IDPSSODescriptor", protocol)
        for name in self.keys:
            use = {} if self.use is None else {"use": self.use}
            info = etree.SubElement(etree.SubElement(role, f"{{{MD}}}KeyDescriptor", use), f"{{{DS}}}KeyInfo")
            data = etree.SubElement(info, f"{{{DS}}}X509Data")
            etree.SubElement(data, f"{{{DS}}}X509Certificate").text = certificate(name)
        binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
        service = {"Binding": binding, "Location": self.sso_url}
        etree.SubElement(role, f"{{{MD}}}SingleSignOnService", service)
        if self.signed_by:
            SamlIdentityProvider(key_name=self.signed_by).sign(root, at=0)
        return self.bend(etree.tostring(root))


def certificate(name: str) -> str:
    """A certificate as a connection keeps it; that of "weak" has too short a key."""
    made = key_and_certificate(name, 1024) if name == "weak" else key_and_certificate(name)
    return "".join(made[1].decode().splitlines()[1:-1])


@dataclass
class Fetching:
    """Stands where the guarded way out is: serves what the provider publishes."""

    publication: Publication
    asked: list[str] = field(default_factory=list)

    def fetch(self, url: str, *, max_bytes: int, headers: Any = None) -> bytes:
        self.asked.append(url)
        document = self.publication.document()
        if self.publication.is_away or len(document) > max_bytes:
            raise Refusal(ErrorCode.EGRESS_REFUSED, "The other server could not be reached.")
        return document


class Following:
    """The tenant, its connection, and what a run of the job does there."""

    def __init__(self, world: World, **config: Any) -> None:
        self.world = world
        self.provider = Publication()
        self.egress = Fetching(self.provider)
        self.rt = replace(world.rt, egress=self.egress)  # type: ignore[arg-type]
        self.tenant = world.tenant()
        given = SamlIdentityProvider().config(**{"metadata_url": URL, **config})
        stored = SamlConfig.model_validate(given).model_dump(mode="json")
        self.connection = world.connection(self.tenant, "corp", kind="saml", config=stored)

    def run(self) -> dict[str, int]:
        """What the job says it did."""
        return refresh_metadata(self.rt, CONNECTORS)

    @property
    def config(self) -> dict[str, Any]:
        """The connection's configuration as it is now."""
        return dict(self.world.again(self.tenant).connections[self.connection.id].config)

    @property
    def reading(self) -> MetadataReading:
        """How the last reading went."""
        with self.world.rt.database.read(self.tenant.id) as session:
            row = session.scalars(select(MetadataReading)).one()
            session.expunge(row)
            return row

    def events(self) -> list[tuple[str, str]]:
        """Name and reason of what was written into the event log."""
        with self.world.rt.database.read(self.tenant.id) as session:
            rows = session.scalars(select(AuditRecord).order_by(AuditRecord.seq))
            return [(row.event, row.reason) for row in rows]
