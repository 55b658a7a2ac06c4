"""One provider behind two connections: what was made for one is refused at the other; no mark is shared."""

from dataclasses import replace

import pytest

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import SpentKeys, make_deps
from tests.builders.saml_idp import ACS_URL, ENTITY_ID, SamlIdentityProvider

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)


def test_s32_the_same_id_at_another_connection_of_the_provider_is_another_assertion():
    spend, subjects = SpentKeys(), []
    deps = make_deps(spend=spend)
    for entity_id in (ENTITY_ID, ENTITY_ID.replace("con_1", "con_2")):
        # Made anew, so that it begins to count from the same id.
        idp = SamlIdentityProvider()
        login = SamlConnector().interactive(idp.config(), {})
        begun = login.begin(replace(LOGIN, entity_id=entity_id), deps)
        callback = replace(idp.sign_in(begun), entity_id=entity_id)
        subjects.append(login.complete(callback, deps).subject)
        # The attack: what one connection was told is brought to the other.
        elsewhere = replace(callback, entity_id=ENTITY_ID.replace("con_1", "con_3"))
        with pytest.raises(ConnectorError) as caught:
            login.complete(elsewhere, deps)
        assert caught.value.code == Code.AUDIENCE_MISMATCH
    assert subjects == ["u-1", "u-1"]
