"""What kind of directory answers, and what it can do: asked, and where it matters tried out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.config import Flavour, LdapConfig
from idp_connectors.ldap.filters import all_of, in_chain
from idp_connectors.ldap.names import canonical_dn, is_within
from idp_connectors.ldap.ranges import values_so_far
from idp_connectors.ldap.wire import PAGED_RESULTS, Deadline, Entry, Session

ACTIVE_DIRECTORY_CAPABILITY = b"1.2.840.113556.1.4.800"
InChain = Literal["works", "silent", "untried"]

_GROUP_WITH_MEMBER = "(&(objectClass=group)(member=*))"
_ROOT_ATTRIBUTES = (
    *("objectClass", "vendorName", "vendorVersion", "supportedCapabilities", "supportedControl"),
    *("namingContexts", "defaultNamingContext"),
)
_SUBJECT: Mapping[Flavour, str] = {
    "active_directory": "objectGUID",
    "samba_ad": "objectGUID",
    "openldap": "entryUUID",
    "389ds": "nsUniqueId",
    "generic": "entryUUID",
}


@dataclass(frozen=True, slots=True)
class Traits:
    """One directory as it showed itself; `naming_context` is the top of the tree that people are in."""

    flavour: Flavour
    naming_context: str
    is_paging: bool
    in_chain: InChain

    @property
    def is_active_directory(self) -> bool:
        """Whether accounts and groups follow Active Directory's rules."""
        return self.flavour in ("active_directory", "samba_ad")

    @property
    def subject_attribute(self) -> str:
        """The attribute that identifies an entry for good."""
        return _SUBJECT[self.flavour]


def read_traits(session: Session, config: LdapConfig, deadline: Deadline) -> Traits:
    """Return what the server says of itself, corrected by what it does; raises ConnectorError, OutOfTime."""
    page = session.search("", "(objectClass=*)", _ROOT_ATTRIBUTES, deadline, is_base_only=True)
    if len(page.entries) != 1:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_UNREACHABLE,
            "The server did not describe itself as a directory.",
            detail=f"{session.host}: {len(page.entries)} root entries",
        )
    root = page.entries[0]
    flavour = _flavour_of(root) if config.flavour == "auto" else config.flavour
    is_chained = flavour in ("active_directory", "samba_ad")
    return Traits(
        flavour=flavour,
        naming_context=_naming_context(root, config.base_dn),
        is_paging=PAGED_RESULTS.encode() in root.all("supportedControl"),
        in_chain=_try_in_chain(session, config, deadline) if is_chained else "silent",
    )


def _flavour_of(root: Entry) -> Flavour:
    vendor = f"{root.text('vendorName')} {root.text('vendorVersion')}".lower()
    if ACTIVE_DIRECTORY_CAPABILITY in root.all("supportedCapabilities"):
        return "samba_ad" if "samba" in vendor else "active_directory"
    if b"OpenLDAProotDSE" in root.all("objectClass") or "openldap" in vendor:
        return "openldap"
    return "389ds" if "389" in vendor else "generic"


def _naming_context(root: Entry, base_dn: str) -> str:
    """Return the longest naming context that holds the base: it stays when the base is moved within it."""
    names = [value.decode("utf-8", "replace") for value in root.all("namingContexts")]
    holding = [name for name in names if name.strip() and is_within(base_dn, name)]
    return canonical_dn(max(holding, key=len, default=base_dn))


def _try_in_chain(session: Session, config: LdapConfig, deadline: Deadline) -> InChain:
    """Ask the rule about a membership that is plain to see.

    Servers that do not know the rule answer "success" and nothing, which reads like "no groups".
    """
    seen = session.search(config.group_base, _GROUP_WITH_MEMBER, ("member",), deadline, size_limit=1)
    for group in seen.entries[:1]:
        for member in values_so_far(group, "member")[:1]:
            asked = all_of("(objectClass=group)", in_chain("member", member.decode("utf-8", "replace")))
            found = session.search(group.dn, asked, ("cn",), deadline, is_base_only=True)
            return "works" if found.entries else "silent"
    return "untried"
