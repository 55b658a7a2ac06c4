"""Which lookup a connection has, from its settings and from what is known of its sign-in."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from idp_connectors.base import GroupKind, GroupLookup
from idp_connectors.groups.calls import Pace
from idp_connectors.groups.entra_graph import LOGIN_HOSTS, EntraAccess, EntraGraphLookup, entra_tenants
from idp_connectors.groups.gathering import LookupFailed, require_username
from idp_connectors.groups.google_directory import GoogleAccess, GoogleDirectoryLookup
from idp_connectors.groups.okta_api import OktaAccess, OktaApiLookup
from idp_connectors.groups.settings import GroupLookupName, GroupLookupSettings


@dataclass(frozen=True, slots=True)
class SignInFacts:
    """What a lookup takes over from the sign-in's settings: the provider, our application, the names."""

    issuer: str
    subject: str
    group_kind: GroupKind
    client_id: str
    client_secret: str = field(repr=False)
    tenant_ids: Collection[str] = ()


Make = Callable[[GroupLookupSettings, SignInFacts, Pace], GroupLookup]


def make_lookup(settings: GroupLookupSettings, facts: SignInFacts, pace: Pace) -> GroupLookup | None:
    """Return the lookup that these settings name, None if they name none.

    Raises ValueError with a sentence for the administrator if something that it needs is absent.
    """
    make = _MAKERS.get(settings.group_lookup)
    return make(settings, facts, pace) if make else None


def _make_entra(settings: GroupLookupSettings, facts: SignInFacts, pace: Pace) -> GroupLookup:
    tenants = entra_tenants(facts.issuer, facts.tenant_ids)
    if facts.subject != "oid+tid" or not tenants:
        raise ValueError("Microsoft Graph is asked by object and directory id: choose oid+tid as identifier")
    # Without this: a group that somebody makes under the name of another takes its roles.
    if facts.group_kind != "id":
        raise ValueError("Microsoft Graph tells groups by id: choose id as kind of group name")
    hosts = {"sts.windows.net", LOGIN_HOSTS["graph.microsoft.com"]}
    if settings.entra_graph_host != "graph.microsoft.com":
        hosts = {LOGIN_HOSTS[settings.entra_graph_host]}
    # Without this: the application's secret goes to a cloud that it was not made for.
    if urlsplit(facts.issuer).hostname not in hosts:
        raise ValueError("the issuer is not of the cloud that the Microsoft Graph host belongs to")
    access = EntraAccess(facts.client_id, facts.client_secret, settings.entra_graph_host, tenants)
    return EntraGraphLookup(access, pace)


def _make_google(settings: GroupLookupSettings, facts: SignInFacts, pace: Pace) -> GroupLookup:
    if facts.issuer != "https://accounts.google.com" or facts.subject != "sub":
        raise ValueError("the Directory API knows people of https://accounts.google.com by sub only")
    if settings.google_service_account is None:
        raise ValueError("the Directory API needs the key file of a service account")
    try:
        admin = require_username(settings.google_admin)
    except LookupFailed:
        raise ValueError("the Directory API needs the address of an administrator") from None
    if facts.group_kind not in ("id", "email"):
        raise ValueError("the Directory API tells groups by id or email: choose one as kind of group name")
    key_file = settings.google_service_account.get_secret_value()
    return GoogleDirectoryLookup(GoogleAccess(key_file, admin, facts.group_kind), pace)


def _make_okta(settings: GroupLookupSettings, facts: SignInFacts, pace: Pace) -> GroupLookup:
    parts = urlsplit(facts.issuer)
    if parts.scheme != "https" or not parts.hostname or parts.netloc != parts.hostname:
        raise ValueError("the Okta API is at the host of the issuer, by https and without a port")
    if facts.subject != "sub":
        raise ValueError("the Okta API knows people by sub only")
    if not settings.okta_api_client_id or settings.okta_api_key is None:
        raise ValueError("the Okta API needs client ID and private key of an API service application")
    if facts.group_kind not in ("id", "name"):
        raise ValueError("the Okta API tells groups by id or name: choose one as kind of group name")
    key = settings.okta_api_key.get_secret_value()
    access = OktaAccess(parts.hostname, settings.okta_api_client_id, key, facts.group_kind)
    return OktaApiLookup(access, pace)


_MAKERS: Mapping[GroupLookupName, Make] = {
    "entra_graph": _make_entra,
    "google_directory": _make_google,
    "okta_api": _make_okta,
}
