"""Kinds are imported when they are used, and built-in kinds cannot be taken over."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from idp_connectors import registry
from idp_connectors.base import Connector, PublishesMetadata
from idp_connectors.registry import BUILT_IN, CONNECTORS, ConnectorRegistry


def test_the_built_in_kinds_know_their_names():
    assert {kind: CONNECTORS[kind].kind for kind in BUILT_IN} == {kind: kind for kind in BUILT_IN}
    assert CONNECTORS["saml"] is CONNECTORS["saml"]
    assert isinstance(CONNECTORS["saml"], PublishesMetadata)
    assert not isinstance(CONNECTORS["oidc"], PublishesMetadata)


def test_an_unknown_kind_is_a_key_error():
    with pytest.raises(KeyError):
        CONNECTORS["ldap-over-carrier-pigeon"]
    assert "ldap-over-carrier-pigeon" not in CONNECTORS


def test_a_plug_in_adds_a_kind_but_replaces_none(monkeypatch: pytest.MonkeyPatch):
    points = [
        EntryPoint("saml", "idp_connectors.oidc:OidcConnector", "idp_connectors"),
        EntryPoint("custom", "idp_connectors.oidc:OidcConnector", "idp_connectors"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    found = ConnectorRegistry(BUILT_IN)
    assert set(found) == {"custom", *BUILT_IN}
    assert len(found) == len(BUILT_IN) + 1
    custom: Connector = found["custom"]
    assert custom.kind == "oidc"
    assert found["saml"].kind == "saml"


def test_naming_a_kind_loads_neither_python3_saml_nor_xmlsec():
    """A server without SAML connections must start where xmlsec cannot be loaded."""
    program = (
        "import sys; from idp_connectors.registry import CONNECTORS; list(CONNECTORS); "
        "CONNECTORS['oidc']; CONNECTORS['saml'].config_model; "
        "print([name for name in sys.modules if name in ('onelogin', 'xmlsec')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
