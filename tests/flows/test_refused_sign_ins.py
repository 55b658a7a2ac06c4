"""A refused sign-in on its connection's page: why, what to change, and where in that provider's console."""

from broker.federation.refusals import record_refusal, refusal_of
from broker.kernel.context import CallContext
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from tests.builders.office import Office


def refuse(office: Office, slug: str, code: ConnectorErrorCode) -> CallContext:
    refusal = refusal_of(ConnectorError(code, "No.", detail="maya@acme.example had eyJ"))
    ctx = office.world.ctx
    record_refusal(office.rt, office.world.again(office.tenant), ctx, slug, refusal)
    return ctx


def test_the_page_tells_cause_cure_and_request(office: Office) -> None:
    connection = office.world.connection(office.tenant, "adfs", kind="saml", preset="okta")
    page = f"/t/acme/admin/connections/{connection.id}"
    assert "Refused sign-ins" not in office.admin().get(page).text
    ctx = refuse(office, "adfs", ConnectorErrorCode.AUDIENCE_MISMATCH)
    text = office.admin().get(page).text
    assert "Audience mismatch" in text
    assert "Audience URI" in text
    assert f"request_id={ctx.request_id}" in text
    # What the provider sent stays in the log of the machine.
    assert "had eyJ" not in text


def test_nothing_is_guessed_and_other_connections_are_left_out(office: Office) -> None:
    connection = office.world.connection(office.tenant, "adfs", kind="saml", preset="okta")
    page = f"/t/acme/admin/connections/{connection.id}"
    refuse(office, "okta", ConnectorErrorCode.SIGNATURE_INVALID)
    assert "Refused sign-ins" not in office.admin().get(page).text
    refuse(office, "adfs", ConnectorErrorCode.UPSTREAM_REFUSED)
    text = office.admin().get(page).text
    assert "Upstream refused" in text
    assert "In the console" not in text
