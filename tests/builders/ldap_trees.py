"""Trees of entries like those of OpenLDAP and of Active Directory, for the server in `ldap_server`."""

import re
from dataclasses import dataclass, field
from typing import Any

BASE = "dc=corp,dc=example"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "reader-password"
PAGED = "1.2.840.113556.1.4.319"
AD_CAPABILITY = b"1.2.840.113556.1.4.800"

Attributes = dict[str, list[bytes]]


@dataclass
class Tree:
    """What the server holds; everything may be changed while it runs."""

    entries: dict[str, Attributes] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    root: Attributes = field(default_factory=dict)
    knows_in_chain: bool = False
    portion: int = 0  # values of an attribute that are handed out at once; 0 is all of them

    def put(self, dn: str, **attributes: Any) -> str:
        """Add or change an entry; texts, numbers, bytes and lists of them."""
        entry = self.entries.setdefault(dn, {})
        for name, value in attributes.items():
            values = value if isinstance(value, list) else [value]
            entry[name] = [item if isinstance(item, bytes) else str(item).encode() for item in values]
        return dn

    def find(self, dn: str) -> Attributes | None:
        """Return the entry of that name, in any letter case."""
        return next((found for name, found in self.entries.items() if name.lower() == dn.lower()), None)

    def parents(self, dn: str) -> set[str]:
        """Return every group that reaches `dn` by any number of memberships."""
        reached: set[str] = set()
        level = {dn.lower()}
        while level:
            found = {
                name
                for name, entry in self.entries.items()
                if level & {member.decode().lower() for member in values_of(entry, "member")}
            }
            level = {name.lower() for name in found - reached}
            reached |= found
        return reached


def values_of(entry: Attributes, name: str) -> list[bytes]:
    """Return the values of an attribute in any letter case."""
    if name in entry:
        return entry[name]
    return next((values for known, values in entry.items() if known.lower() == name.lower()), [])


def openldap(**people: str) -> Tree:
    """Return a tree like OpenLDAP's, with these people and their passwords."""
    tree = Tree(
        root={
            "objectClass": [b"top", b"OpenLDAProotDSE"],
            "namingContexts": [BASE.encode()],
            "supportedControl": [PAGED.encode()],
        },
        passwords={READER: READER_PASSWORD},
    )
    tree.put(BASE, objectClass="organization", o="Example")
    for number, (user, secret) in enumerate(people.items(), start=1):
        add_person(tree, user, secret, number)
    return tree


def active_directory(**people: str) -> Tree:
    """Return a tree like Active Directory's, with these people, their passwords and a primary group."""
    tree = openldap()
    tree.root["objectClass"] = [b"top"]
    tree.root["supportedCapabilities"] = [AD_CAPABILITY]
    tree.knows_in_chain = True
    for number, (user, secret) in enumerate(people.items(), start=1):
        dn = add_person(tree, user, secret, number)
        tree.put(
            dn,
            objectClass=["person", "user"],
            objectCategory="person",
            sAMAccountName=user,
            userPrincipalName=f"{user}@corp.example",
            objectGUID=number.to_bytes(16, "big"),
            objectSid=sid(1000 + number),
            primaryGroupID=513,
            userAccountControl=512,
            accountExpires=0,
            pwdLastSet=134_000_000_000_000_000,
            tokenGroups=[sid(513)],
        )
    add_group(tree, "Domain Users", objectSid=sid(513), objectGUID=(513).to_bytes(16, "big"))
    return tree


def add_person(tree: Tree, user: str, secret: str, number: int = 1) -> str:
    """Add a person; return the entry's name."""
    dn = f"uid={user},ou=people,{BASE}"
    tree.passwords[dn] = secret
    identifier = f"00000000-0000-4000-8000-{number:012d}"
    return tree.put(
        dn,
        objectClass=["person", "inetOrgPerson"],
        uid=user,
        cn=user.capitalize(),
        sn="Example",
        mail=f"{user}@corp.example",
        entryUUID=identifier,
    )


def add_group(tree: Tree, name: str, *members: str, **attributes: Any) -> str:
    """Add a group with these members; return its name in the tree."""
    number = len(tree.entries)
    return tree.put(
        f"cn={re.sub('[,+]', '-', name)},ou=groups,{BASE}",
        objectClass=["group", "groupOfNames"],
        cn=name,
        sAMAccountName=name,
        entryUUID=f"00000000-0000-4000-9000-{number:012d}",
        member=list(members),
        **{"groupType": -2147483646, **attributes},
    )


def sid(relative: int) -> bytes:
    """Return a security identifier of this domain."""
    parts = (21, 1, 2, 3, relative)
    head = bytes([1, len(parts)]) + (5).to_bytes(6, "big")
    return head + b"".join(part.to_bytes(4, "little") for part in parts)
