"""Asks Microsoft Graph for a person's groups, nested ones included, when a token could not hold them all.

Every address is built from a cloud of a fixed list and from ids that are GUIDs. The link that an overage
token carries is never read.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from idp_connectors.base import Deps, Group, GroupAnswer
from idp_connectors.groups.calls import Calls, Pace, Reply, name_credential
from idp_connectors.groups.gathering import (
    Gathered,
    LookupFailed,
    PersonUnknown,
    display_of,
    gather,
    require_username,
)

SOURCE = "graph"
GraphHost = Literal[
    "graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"
]
LOGIN_HOSTS: Mapping[str, str] = {
    "graph.microsoft.com": "login.microsoftonline.com",
    "graph.microsoft.us": "login.microsoftonline.us",
    "dod-graph.microsoft.us": "login.microsoftonline.us",
    "microsoftgraph.chinacloudapi.cn": "login.partner.microsoftonline.cn",
}
"""The clouds: where Graph is, and where tokens for it come from. There are no others."""

PAGE_SIZE = 999
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GROUP_TYPE = "#microsoft.graph.group"


@dataclass(frozen=True, slots=True)
class EntraAccess:
    """The application that may read groups, the cloud it lives in, and the directories it may ask about."""

    client_id: str
    client_secret: str = field(repr=False)
    graph_host: str
    tenant_ids: frozenset[str]


class EntraGraphLookup:
    """Tells the groups of people in the allowed directories, by object id."""

    def __init__(self, access: EntraAccess, pace: Pace) -> None:
        self._access = access
        self._pace = pace

    def lookup(self, key: str, deps: Deps, *, by: Literal["subject", "username"] = "subject") -> GroupAnswer:
        """Return the groups of `key`; a failure is state "error".

        A subject is "directory/object", or the object's id alone if there is one directory only.
        """

        def work(gathered: Gathered) -> None:
            tenant, person = self._address(key, by)
            self._read(tenant, person, deps, gathered)

        return gather(SOURCE, deps, work)

    def _address(self, key: str, by: str) -> tuple[str, str]:
        """Return directory and person, safe to be put into an address."""
        tenants = self._access.tenant_ids
        if by == "username":
            if len(tenants) != 1:
                raise LookupFailed("A user name says nothing about which directory is meant.")
            return next(iter(tenants)), require_username(key)
        # SAML names the object and leaves the directory to the entity ID.
        is_bare = "/" not in key and len(tenants) == 1
        tenant, _, person = f"{next(iter(tenants))}/{key}".partition("/") if is_bare else key.partition("/")
        # Without this: what stands in an id chooses another path at Graph, or another directory's token.
        if not _GUID.fullmatch(tenant) or not _GUID.fullmatch(person):
            raise LookupFailed("The stable identifier is not a directory id and an object id.")
        if tenant not in tenants:
            raise LookupFailed("The person belongs to a directory that this connection may not ask about.")
        return tenant, person

    def _read(self, tenant: str, person: str, deps: Deps, gathered: Gathered) -> None:
        access, graph = self._access, self._access.graph_host
        login = LOGIN_HOSTS[graph]
        who = name_credential(SOURCE, graph, tenant, access.client_id, access.client_secret)
        calls = Calls(deps, (graph, login), who, self._pace)
        token = calls.get_token(f"https://{login}/{tenant}/oauth2/v2.0/token", self._credentials)
        url = (
            f"https://{graph}/v1.0/users/{quote(person, safe='@')}/transitiveMemberOf/microsoft.graph.group"
            f"?$select=id,displayName&$count=true&$top={PAGE_SIZE}"
        )
        seen: set[str] = set()
        while url:
            seen.add(url)
            # Casting to groups is an advanced query, which Graph answers only with this header.
            reply = calls.get(url, token, {"ConsistencyLevel": "eventual"})
            _take_page(reply, gathered)
            url = _next_page(reply, graph, seen)

    def _credentials(self) -> Mapping[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
            "scope": f"https://{self._access.graph_host}/.default",
        }


def entra_tenants(issuer: str, tenant_ids: Collection[str]) -> frozenset[str]:
    """Return the directories of a connection: those it lists, else the one that its issuer names."""
    return frozenset(tenant_ids) or frozenset(match.group() for match in _GUID.finditer(issuer.lower()))


def _take_page(reply: Reply, gathered: Gathered) -> None:
    if reply.status == 404:
        raise PersonUnknown
    if reply.status != 200:
        raise LookupFailed(_explain(reply))
    listed = reply.member("value")
    if not isinstance(listed, list):
        raise LookupFailed("Microsoft Graph sent something unreadable.")
    for entry in listed:
        found = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(found, str) or not _GUID.fullmatch(found):
            raise LookupFailed("Microsoft Graph named a group in an unusable way.")
        if entry.get("@odata.type", _GROUP_TYPE) == _GROUP_TYPE:
            gathered.add(Group("id", found, display_of(entry.get("displayName"))))


def _next_page(reply: Reply, graph: str, seen: Collection[str]) -> str:
    """Return the address of the next page, "" if this was the last one."""
    url = reply.member("@odata.nextLink")
    if url is None:
        return ""
    # Without this: a link to another host is sent the token, and one in a circle never ends.
    if not isinstance(url, str) or not url.startswith(f"https://{graph}/v1.0/") or url in seen:
        raise LookupFailed("Microsoft Graph pointed to a next page that is not its own.")
    return url


def _explain(reply: Reply) -> str:
    error = reply.member("error")
    code = error.get("code") if isinstance(error, dict) else None
    if reply.status == 403:
        return (
            f"Microsoft Graph refused ({code!r:.80}): grant the application permissions "
            "GroupMember.Read.All and User.Read.All, with admin consent."
        )
    return f"Microsoft Graph answered {reply.status} ({code!r:.80})."
