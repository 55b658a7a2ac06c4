"""Sign-ins through SAML in a broker of this process, prepared up to the moment when the response arrives."""

from dataclasses import replace
from pathlib import Path

from broker.federation import signing_in
from broker.federation.service_keys import get_service_keys
from idp_connectors.base import Begun
from idp_connectors.registry import CONNECTORS
from idp_connectors.saml.config import SamlConfig
from tests.bench.saml import ATTRIBUTES
from tests.builders import saml_encryption
from tests.builders.saml_idp import SamlIdentityProvider
from tests.builders.world import open_world


class SignIns:
    """Makes all responses first: what the provider does is not to be measured."""

    def __init__(self, folder: Path, idp: SamlIdentityProvider, now: int, count: int) -> None:
        self._stack = open_world(f"sqlite:///{folder / 'broker.db'}", folder)
        self._world = self._stack.__enter__()
        self._world.clock.advance(now - self._world.now)
        tenant = self._world.tenant()
        config = SamlConfig.model_validate(idp.config(encryption="accepted", assertion_signed=True))
        connection = self._world.connection(
            tenant, "corp", kind="saml", config=config.model_dump(mode="json")
        )
        self._tenant = self._world.again(tenant)
        self._connection = connection
        self._encrypt_for_us(idp)
        self._forms = [self._prepare(idp, f"{number:043d}") for number in range(count)]

    def next(self) -> None:
        """Take the next response and start its session."""
        browser, form = self._forms.pop()
        step = self._step()
        handle = signing_in.keep_posted_answer(step, form)
        flow = signing_in.take(step, handle, browser)
        signing_in.complete(step, flow, query={}, previous=None)

    def _step(self) -> signing_in.Signing:
        return signing_in.open_signing(
            self._world.rt, CONNECTORS, self._tenant, "corp", self._world.ctx, kind="saml", is_posted=True
        )

    def _prepare(self, idp: SamlIdentityProvider, browser: str) -> tuple[str, dict[str, str]]:
        url = signing_in.begin(self._step(), browser_secret=browser, resume_url="/t/acme/me/agents")
        return browser, dict(idp.sign_in(Begun(url, {}), attributes=ATTRIBUTES).form)

    def _encrypt_for_us(self, idp: SamlIdentityProvider) -> None:
        """Have the provider encrypt with the connection's own certificate."""
        if not isinstance(idp.encrypt, saml_encryption.Encryption):
            return
        keys = get_service_keys(self._world.rt, self._tenant.id, self._connection.id, self._world.now)
        idp.encrypt = replace(idp.encrypt, key=keys.published_encryption[0].private.public_key())
