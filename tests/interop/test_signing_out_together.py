"""Signing out together with SimpleSAMLphp and node oidc-provider, begun at either side."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.interop.servers.node_op import NodeOpenIdProvider
from tests.interop.servers.served_broker import ServedBroker, open_broker
from tests.interop.servers.simplesamlphp import SimpleSamlPhp

pytestmark = pytest.mark.interop


@pytest.fixture
def saml(simplesamlphp: SimpleSamlPhp, tmp_path: Path) -> Iterator[ServedBroker]:
    """A broker whose sign-outs SimpleSAMLphp checks by the certificate in our metadata."""
    config = {**simplesamlphp.config, "slo_url": simplesamlphp.slo_url}
    with open_broker(tmp_path / "data", "saml", config, {}) as opened:
        served = ServedBroker(opened.world.rt, simplesamlphp, opened.tenant.issuer, "saml")
        with simplesamlphp.browser() as http:
            document = http.get(f"{served.here}/metadata").raise_for_status().text
        certificate = re.search(r'use="signing".*?X509Certificate>([^<]+)<', document, flags=re.DOTALL)
        assert certificate
        simplesamlphp.register(
            f"{served.here}/acs",
            f"{served.here}/metadata",
            sign_out_url=f"{served.here}/slo",
            certificate="".join(certificate[1].split()),
        )
        yield served


@pytest.fixture
def oidc(node_op: NodeOpenIdProvider, tmp_path: Path) -> Iterator[ServedBroker]:
    """A broker to which node oidc-provider tells sign-outs."""
    with open_broker(tmp_path / "data", "oidc", node_op.config, node_op.secrets) as opened:
        served = ServedBroker(opened.world.rt, node_op, opened.tenant.issuer, "oidc")
        node_op.register(f"{served.here}/callback")
        tell(served, names_session=True)
        yield served


def tell(served: ServedBroker, *, names_session: bool) -> None:
    """Set up at the provider how it names whom it signed out."""
    assert isinstance(served.provider, NodeOpenIdProvider)
    told, back = f"{served.here}/backchannel-logout", f"{served.here}/signed-out"
    served.provider.register_sign_out(told, back, names_session=names_session)


def asks_for_password(served: ServedBroker, http: httpx2.Client) -> bool:
    """Whether the provider has forgotten the person at this browser."""
    start = f"{served.tenant_url}/sign-in/corp"
    return 'type="password"' in http.get(start, follow_redirects=True).text


@pytest.mark.parametrize("side", ["saml", "oidc"])
def test_who_signs_out_here_can_sign_out_at_the_provider_too(
    side: str, request: pytest.FixtureRequest
) -> None:
    served: ServedBroker = request.getfixturevalue(side)
    with served.provider.browser() as laptop, served.provider.browser() as phone:
        served.sign_in(laptop)
        served.sign_in(phone)
        assert "You are signed out here and at Corp." in served.sign_out(laptop)
        assert [served.is_signed_in(one) for one in (laptop, phone)] == [False, True]
        assert asks_for_password(served, laptop)


def test_single_logout_from_simplesamlphp_ends_the_session_here(saml: ServedBroker) -> None:
    simplesamlphp = saml.provider
    assert isinstance(simplesamlphp, SimpleSamlPhp)
    with simplesamlphp.browser() as laptop, simplesamlphp.browser() as phone:
        saml.sign_in(laptop)
        saml.sign_in(phone)
        page = simplesamlphp.sign_out(laptop)
        # It accepted our answer, and sends the person where they wanted to go afterwards.
        assert page.is_success, page.text
        assert str(page.url).startswith(simplesamlphp.base_url), page.url
        assert [saml.is_signed_in(one) for one in (laptop, phone)] == [False, True]


def test_simplesamlphp_refuses_a_sign_out_that_another_key_signed(saml: ServedBroker) -> None:
    """The twin is the first test: with the certificate of our metadata it signs the person out."""
    simplesamlphp = saml.provider
    assert isinstance(simplesamlphp, SimpleSamlPhp)
    simplesamlphp.register(
        f"{saml.here}/acs",
        f"{saml.here}/metadata",
        sign_out_url=f"{saml.here}/slo",
        certificate="".join(simplesamlphp.certificate.splitlines()[1:-1]),
    )
    with simplesamlphp.browser() as laptop:
        saml.sign_in(laptop)
        assert "signed out here and at Corp" not in saml.sign_out(laptop)
        assert not saml.is_signed_in(laptop)


@pytest.mark.parametrize("names_session", [False, True])
def test_whom_node_oidc_provider_signs_out_is_signed_out_here(
    oidc: ServedBroker, names_session: bool
) -> None:
    """It names the session where the client asks for that, and the person always."""
    provider = oidc.provider
    assert isinstance(provider, NodeOpenIdProvider)
    tell(oidc, names_session=names_session)
    with ExitStack() as stack:
        laptop, phone, bobs = (stack.enter_context(provider.browser()) for _ in range(3))
        oidc.sign_in(laptop)
        oidc.sign_in(phone)
        oidc.sign_in(bobs, "bob")
        assert provider.sign_out(laptop).is_success
        assert [oidc.is_signed_in(one) for one in (laptop, phone, bobs)] == [False, names_session, True]
