"""The three group lookups, each pointed at its emulated source."""

from dataclasses import dataclass
from typing import Any

from idp_connectors.base import Cache, GroupAnswer, GroupLookup
from idp_connectors.groups.entra_graph import EntraAccess, EntraGraphLookup
from idp_connectors.groups.google_directory import GoogleAccess, GoogleDirectoryLookup
from idp_connectors.groups.okta_api import OktaAccess, OktaApiLookup
from tests.builders import google_directory, graph, okta_api
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.lookup_source import LookupSource
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET


@dataclass
class Inquiry:
    """A source, the lookup that asks it, a key it knows, and one API address of the source."""

    source: Any
    lookup: GroupLookup
    key: str
    unknown_key: str

    def ask(
        self, key: str = "", *, now: int = NOW, cache: Cache | None = None, by: Any = "subject"
    ) -> GroupAnswer:
        """Return what the lookup answers."""
        return self.lookup.lookup(key or self.key, make_deps(self.source, now=now, cache=cache), by=by)


def at_graph(source: graph.Graph | None = None, **changes: Any) -> Inquiry:
    """Return an inquiry at Microsoft Graph."""
    source = source or graph.Graph()
    access = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "graph_host": source.graph,
        "tenant_ids": frozenset({graph.TENANT}),
    }
    lookup = EntraGraphLookup(EntraAccess(**{**access, **changes}), source.watch.pace())
    nobody = "bbbbbbbb-0000-0000-0000-00000000000b"
    return Inquiry(source, lookup, f"{graph.TENANT}/{graph.PERSON}", f"{graph.TENANT}/{nobody}")


def at_google(**changes: Any) -> Inquiry:
    """Return an inquiry at the Google Directory API."""
    source = google_directory.GoogleDirectory()
    access = {"key_file": google_directory.key_file(), "admin": google_directory.ADMIN, "kind": "email"}
    lookup = GoogleDirectoryLookup(GoogleAccess(**{**access, **changes}), source.watch.pace())
    return Inquiry(source, lookup, google_directory.ACCOUNT, "999")


def at_okta(**changes: Any) -> Inquiry:
    """Return an inquiry at the Okta Management API."""
    source = okta_api.OktaOrganisation()
    access = {
        "host": okta_api.HOST,
        "client_id": okta_api.API_CLIENT,
        "private_key": okta_api.KEY.as_pem(private=True).decode(),
        "kind": "name",
    }
    lookup = OktaApiLookup(OktaAccess(**{**access, **changes}), source.watch.pace())
    return Inquiry(source, lookup, okta_api.USER, "00uNobody")


INQUIRIES = {"graph": at_graph, "google": at_google, "okta": at_okta}


def values(answer: GroupAnswer) -> list[str]:
    """Return the groups' values in their order."""
    return [group.value for group in answer.groups]


__all__ = ["INQUIRIES", "Inquiry", "LookupSource", "at_google", "at_graph", "at_okta", "values"]
