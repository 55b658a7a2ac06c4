"""Which kinds of identity provider there are; a kind's code is imported when it is first used."""

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import cast

from idp_connectors.base import Connector

ENTRY_POINT_GROUP = "idp_connectors"

BUILT_IN = {
    "oidc": "idp_connectors.oidc:OidcConnector",
    "saml": "idp_connectors.saml:SamlConnector",
    "ldap": "idp_connectors.ldap:LdapConnector",
}


class ConnectorRegistry(Mapping[str, Connector]):
    """Maps a connection's kind to its connector; built-in kinds cannot be replaced by a plug-in."""

    def __init__(self, built_in: Mapping[str, str], group: str = ENTRY_POINT_GROUP) -> None:
        plug_ins = {point.name: point.value for point in entry_points(group=group)}
        # Without this: an installed package could take over "saml" and with it every sign-in.
        self._places = {**plug_ins, **built_in}
        self._loaded: dict[str, Connector] = {}

    def __getitem__(self, kind: str) -> Connector:
        if kind not in self._loaded:
            module, _, name = self._places[kind].partition(":")
            self._loaded[kind] = cast(Connector, getattr(importlib.import_module(module), name)())
        return self._loaded[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


CONNECTORS = ConnectorRegistry(BUILT_IN)
"""What a connection may be: kinds that send a person to a provider, and kinds that check a password."""
