"""Sign-ins through SAML in a broker of this process, prepared up to the moment when the response arrives."""

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from broker.federation import signing_in
from broker.federation.addresses import addresses_of
from broker.federation.admitting import store_sign_in
from broker.federation.flows import take_flow
from broker.federation.service_keys import get_service_keys
from broker.federation.steps import Signing, open_signing
from broker.kernel.replay import spend
from idp_connectors.base import Begun, Group, ServiceKeys, VerifiedIdentity
from idp_connectors.registry import CONNECTORS
from idp_connectors.saml.config import SamlConfig
from tests.bench.saml import ATTRIBUTES
from tests.bench.saml_stock import Stock
from tests.builders import saml_encryption
from tests.builders.saml_idp import SamlIdentityProvider, read_authn_request
from tests.builders.world import open_world


@dataclass(frozen=True)
class Arriving:
    """A response that is about to be posted by a browser."""

    browser: str
    request_id: str
    form: dict[str, str]


class SignIns:
    """Makes all responses first: what the provider does is not to be measured."""

    def __init__(self, folder: Path, idp: SamlIdentityProvider, now: int, count: int) -> None:
        self._stack = open_world(f"sqlite:///{folder / 'broker.db'}", folder)
        self.world = self._stack.__enter__()
        self.world.clock.advance(now - self.world.now)
        tenant = self.world.tenant()
        config = SamlConfig.model_validate(idp.config(encryption="accepted", assertion_signed=True))
        self.connection = self.world.connection(
            tenant, "corp", kind="saml", config=config.model_dump(mode="json")
        )
        self.tenant = self.world.again(tenant)
        if isinstance(idp.encrypt, saml_encryption.Encryption):
            key = self.keys().published_encryption[0].private.public_key()
            idp.encrypt = replace(idp.encrypt, key=key)
        self._arriving = [self._prepare(idp, f"{number:043d}") for number in range(count)]

    def next(self) -> None:
        """Take the next response and start its session."""
        arrived, step = self.take()
        handle = signing_in.keep_posted_answer(step, arrived.form)
        step = self.step()
        flow = signing_in.take(step, handle, arrived.browser)
        signing_in.complete(step, flow, query={}, previous=None)

    def take(self) -> tuple[Arriving, Signing]:
        """Return the next response, and the step that it belongs to."""
        return self._arriving.pop(), self.step()

    def keys(self) -> ServiceKeys:
        """Return our own keys for the connection."""
        return get_service_keys(self.world.rt, self.tenant.id, self.connection.id, self.world.now)

    def step(self) -> Signing:
        """Return one request's step."""
        return open_signing(
            self.world.rt, CONNECTORS, self.tenant, "corp", self.world.ctx, kind="saml", is_posted=True
        )

    def _prepare(self, idp: SamlIdentityProvider, browser: str) -> Arriving:
        url = signing_in.begin(self.step(), browser_secret=browser, resume_url="/t/acme/me/agents")
        form = dict(idp.sign_in(Begun(url, {}), attributes=ATTRIBUTES).form)
        return Arriving(browser, read_authn_request(url).get("ID", ""), form)


class StockSignIns(SignIns):
    """The same sign-ins verified by stock python3-saml, which then write the same rows in one commit."""

    def __init__(self, folder: Path, idp: SamlIdentityProvider, now: int, count: int) -> None:
        super().__init__(folder, idp, now, count)
        addresses = addresses_of(self.tenant, self.connection)
        key = self.keys().decrypting[0]
        pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        self._stock = Stock(
            config=idp.config(),
            entity_id=addresses.entity_id,
            acs_url=addresses.callback_url,
            key=pem.decode(),
            certificate=key.certificate,
        )

    def next(self) -> None:
        """Take the next response and start its session."""
        arrived, step = self.take()
        auth = self._stock.verify(arrived.form, arrived.request_id)
        told = auth.get_attributes()
        identity = VerifiedIdentity(
            issuer=self.connection.config["idp_entity_id"],
            subject=auth.get_nameid(),
            subject_kind="nameid",
            email=told["mail"][0],
            email_verified_by="idp_asserted",
            display_name=told["displayName"][0],
            groups=tuple(Group("name", name) for name in told["groups"]),
            groups_state="complete",
            groups_source="saml",
            auth_time=self.world.now,
            session_index=auth.get_session_index(),
            name_id=auth.get_nameid(),
        )
        with self.world.rt.database.core_write() as core:
            take_flow(
                core,
                self.world.rt.sealer,
                tenant_id=self.tenant.id,
                connection_id=self.connection.id,
                handle=arrived.form["RelayState"],
                browser_secret=arrived.browser,
                now=self.world.now,
            )
            assert spend(
                core,
                kind="saml_assertion",
                tenant_id=self.tenant.id,
                key=auth.get_last_assertion_id(),
                expires_at=self.world.now + 300,
            )
            store_sign_in(core, step, identity, None, previous=None)
