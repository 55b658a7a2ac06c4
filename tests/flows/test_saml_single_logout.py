"""Single logout with a SAML provider over HTTP, begun by either side."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

from tests.builders.saml_logout import (
    SLO_URL,
    logout_request,
    logout_response,
    pack,
    read_message,
    signed_query,
)
from tests.builders.site import Browser, Site, form_token

SLO = "/t/acme/saml/corp/slo"


def prepare(site: Site) -> None:
    """A SAML connection whose provider takes sign-out messages."""
    config = {**site.saml.config(slo_url=SLO_URL), "subject": "nameid-any-format"}
    site.world.connection(site.acme, "corp", kind="saml", config=config)


def sign_in(site: Site, browser: Browser, name_id: str = "maya") -> None:
    begun = site.begin(browser, "corp")
    form = dict(site.saml.sign_in(begun, name_id=name_id).form)
    kept = browser.post_from_elsewhere("/t/acme/saml/corp/acs", form, "https://idp.example")
    assert browser.get(kept.location).status_code == 303


def ours(site: Site) -> str:
    return f"{site.base_url}{SLO}"


def test_a_request_of_the_provider_ends_the_sessions_it_names_and_is_answered(site: Site) -> None:
    prepare(site)
    sign_in(site, site.browser(), "maya")
    sign_in(site, site.browser(), "noor")
    document = logout_request(
        ours(site), name_id="maya", sessions=["_session1"], now=site.world.now, ID="_one"
    )
    query = signed_query(pack(document), relay_state="rs-7")
    # In a frame of the provider our cookies are not there; the message alone decides.
    answer = site.browser().get(f"{SLO}?{query}")
    assert answer.status_code == 303
    assert answer.location.startswith(SLO_URL)
    sent = {name: values[0] for name, values in parse_qs(urlsplit(answer.location).query).items()}
    assert sent["RelayState"] == "rs-7"
    assert sent["Signature"]
    response = read_message(answer.location, "SAMLResponse")
    assert (response.get("InResponseTo"), response.get("Destination")) == ("_one", SLO_URL)
    assert len(site.live_sessions()) == 1
    assert [one.reason for one in site.events("session.ended")] == ["signed_out_at_provider"]
    # S51: once.
    sign_in(site, site.browser(), "maya")
    assert site.browser().get(f"{SLO}?{query}").status_code == 400
    assert [one.reason for one in site.events("sign_out.refused")] == ["replayed"]
    assert len(site.live_sessions()) == 2


def test_a_forged_request_ends_nothing_and_sends_nobody_anywhere(site: Site) -> None:
    prepare(site)
    sign_in(site, site.browser())
    document = pack(logout_request(ours(site), name_id="maya", now=site.world.now))
    forged = site.browser().get(f"{SLO}?{signed_query(document, key_name='attacker')}")
    assert forged.status_code == 400
    assert "Location" not in forged.headers
    assert [one.reason for one in site.events("sign_out.refused")] == ["signature_invalid"]
    assert len(site.live_sessions()) == 1
    assert site.browser().get(f"{SLO}?{signed_query(document)}").status_code == 303
    assert site.live_sessions() == []


def test_who_signs_out_here_can_sign_out_at_the_provider_too(site: Site) -> None:
    prepare(site)
    browser = site.browser()
    sign_in(site, browser)
    token = form_token(browser.get("/t/acme/me/agents"))
    page = browser.post("/t/acme/sign-out", {"csrf_token": token})
    assert site.live_sessions() == []
    found = re.search(r'href="(https://idp\.example/[^"]*)"', page.text)
    assert found
    address = unescape(found.group(1))
    request = read_message(address)
    assert [child.text for child in request] == [
        f"{site.base_url}/t/acme/saml/corp/metadata",
        "maya",
        "_session1",
    ]
    relay_state = parse_qs(urlsplit(address).query)["RelayState"][0]
    document = logout_response(ours(site), request.get("ID", ""), now=site.world.now)
    query = signed_query(pack(document), parameter="SAMLResponse", relay_state=relay_state)
    stranger = site.browser()
    stranger.get("/t/acme/sign-in")
    assert stranger.get(f"{SLO}?{query}").status_code == 400
    back = browser.get(f"{SLO}?{query}")
    assert back.status_code == 200
    assert "signed out here and at Corp" in back.text
    assert browser.get(f"{SLO}?{query}").status_code == 400


def test_our_metadata_says_where_sign_out_messages_go(site: Site) -> None:
    prepare(site)
    metadata = site.browser().get("/t/acme/saml/corp/metadata").text
    assert f'Location="{ours(site)}"' in metadata
    assert metadata.index("SingleLogoutService") < metadata.index("NameIDFormat")
