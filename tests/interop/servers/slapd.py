"""OpenLDAP's slapd, as Debian packages it, with the memberof overlay and TLS by our own authority."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.builders.tls_certificates import Authority
from tests.interop.servers.ldif import Record, as_ldif, send_ldif
from tests.interop.servers.processes import free_port, running

BASE = "dc=corp,dc=example"
PEOPLE_BASE = f"ou=people,{BASE}"
GROUPS_BASE = f"ou=groups,{BASE}"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "reader-password"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "admin-password"
SCHEMA = Path("/etc/ldap/schema")
MODULES = Path("/usr/lib/ldap")

CONFIGURATION = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
pidfile {directory}/slapd.pid
modulepath {modules}
moduleload back_mdb
moduleload memberof
TLSCACertificateFile {authority}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit 500
security simple_bind=128
database mdb
suffix "{base}"
rootdn "{admin}"
rootpw {admin_password}
directory {directory}/data
dbnosync
maxsize 1073741824
index objectClass,uid,member,memberOf,entryUUID eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
overlay memberof
memberof-refint TRUE
"""


class Slapd:
    """A running directory; people and groups can be added and changed at any time."""

    name = "slapd"
    base = BASE

    def __init__(self, directory: Path, port: int, tls_port: int) -> None:
        self.directory = directory
        self.url = f"ldaps://localhost:{tls_port}"
        # The command-line tools take `localhost` for the machine's own name, which no certificate has.
        self.tool_url = f"ldaps://127.0.0.1:{tls_port}"
        self.start_tls_url = f"ldap://localhost:{port}"
        self.authority = Authority("slapd CA")
        self.foreign_authority = Authority("another CA")

    @property
    def config(self) -> dict[str, Any]:
        """The settings of an `ldap` connection to this directory."""
        return {
            "urls": [self.url],
            "ca_certificates": self.authority.certificate,
            "base_dn": PEOPLE_BASE,
            "group_base_dn": GROUPS_BASE,
            "bind_dn": READER,
            "email_domains": ["corp.example"],
        }

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of that connection."""
        return {"bind_password": READER_PASSWORD}

    def person_dn(self, user: str) -> str:
        """Return the name of a person's entry."""
        return f"uid={user},{PEOPLE_BASE}"

    def group_dn(self, name: str) -> str:
        """Return the name of a group's entry."""
        return f"cn={name},{GROUPS_BASE}"

    def add_person(self, user: str, password: str) -> Record:
        """Return the record of a person."""
        return self.person_dn(user), {
            "objectClass": ["inetOrgPerson"],
            "uid": user,
            "cn": user.capitalize(),
            "sn": "Example",
            "mail": f"{user}@corp.example",
            "userPassword": password,
        }

    def add_group(self, name: str, members: list[str]) -> Record:
        """Return the record of a group whose members are the entries of these names."""
        return self.group_dn(name), {"objectClass": ["groupOfNames"], "cn": name, "member": members}

    def load(self, *records: Record) -> None:
        """Add these entries."""
        self._send("ldapadd", as_ldif(records))

    def change(self, ldif: str) -> None:
        """Apply change records."""
        self._send("ldapmodify", ldif)

    def _send(self, tool: str, ldif: str) -> None:
        authority = self.directory / "authority.pem"
        send_ldif(tool, ldif, url=self.tool_url, authority=authority, name=ADMIN, password=ADMIN_PASSWORD)

    def write_files(self) -> Path:
        """Write certificates and configuration; return the latter's path."""
        (self.directory / "data").mkdir()
        (self.directory / "authority.pem").write_text(self.authority.certificate)
        certificate, key = self.authority.issue("localhost", "127.0.0.1").write(self.directory, "server")
        path = self.directory / "slapd.conf"
        path.write_text(
            CONFIGURATION.format(
                schema=SCHEMA,
                modules=MODULES,
                directory=self.directory,
                authority=self.directory / "authority.pem",
                certificate=certificate,
                key=key,
                base=BASE,
                admin=ADMIN,
                admin_password=ADMIN_PASSWORD,
                reader=READER,
            )
        )
        return path

    def fill(self) -> None:
        """Add the tree, the account that reads it, and the people whom a directory starts with."""
        self.load(
            (BASE, {"objectClass": ["dcObject", "organization"], "dc": "corp", "o": "Example"}),
            (PEOPLE_BASE, {"objectClass": ["organizationalUnit"], "ou": "people"}),
            (GROUPS_BASE, {"objectClass": ["organizationalUnit"], "ou": "groups"}),
            (
                READER,
                {
                    "objectClass": ["organizationalRole", "simpleSecurityObject"],
                    "cn": "reader",
                    "userPassword": READER_PASSWORD,
                },
            ),
            self.add_person("ada", "ada-password"),
            self.add_person("bob", "bob-password"),
            self.add_group("engineering", [self.person_dn("ada")]),
            self.add_group("agents", [self.group_dn("engineering")]),
            self.add_group("sales", [self.person_dn("bob")]),
        )


def missing_reason() -> str:
    """Return what is missing on this machine to run it, or an empty text."""
    missing = [str(path) for path in (SCHEMA / "core.schema", MODULES / "memberof.so") if not path.exists()]
    missing += [tool for tool in ("ldapadd", "ldapmodify") if shutil.which(tool) is None]
    return f"missing: {', '.join(missing)} (Debian packages slapd, ldap-utils)" if missing else ""


@contextlib.contextmanager
def start(directory: Path, program: str) -> Iterator[Slapd]:
    """Run slapd on loopback with its files in `directory` until the block ends."""
    port, tls_port = free_port(), free_port()
    server = Slapd(directory, port, tls_port)
    configuration = server.write_files()
    addresses = f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
    command = [program, "-f", str(configuration), "-h", addresses, "-d", "256"]
    with running(command, port=tls_port, log=directory / "slapd.log", cwd=directory, extra_env={}):
        server.fill()
        yield server
