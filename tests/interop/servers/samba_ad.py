"""Samba as an Active Directory domain controller, as Debian packages it, provisioned afresh."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.builders.tls_certificates import Authority
from tests.interop.servers.ldif import Record, as_ldif, as_replacement, send_ldif
from tests.interop.servers.processes import running

BASE = "DC=corp,DC=example"
ADMIN = f"CN=Administrator,CN=Users,{BASE}"
ADMIN_PASSWORD = "Administrator-1-password"
READER = f"CN=reader,CN=Users,{BASE}"
READER_PASSWORD = "Reader-1-password"
PROVISION_SECONDS = 180
TEMPLATES = Path("/usr/share/samba/setup/provision.ldif")

CONFIGURATION = """
[global]
netbios name = DC1
workgroup = CORP
realm = CORP.EXAMPLE
server role = active directory domain controller
server services = ldap
interfaces = {address}/8
bind interfaces only = yes
tls enabled = yes
tls certfile = {certificate}
tls keyfile = {key}
tls cafile = {authority}
private dir = {directory}/private
state directory = {directory}/state
cache directory = {directory}/cache
lock directory = {directory}
pid directory = {directory}
ncalrpc dir = {directory}/ncalrpc
binddns dir = {directory}/bind-dns
log file = {directory}/log.%m
"""


class SambaAd:
    """A running domain controller; people and groups can be added and changed at any time."""

    name = "samba_ad"
    base = BASE

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self.address = address
        self.url = f"ldaps://{address}"
        self.start_tls_url = f"ldap://{address}"
        self.authority = Authority("Samba CA")
        self.foreign_authority = Authority("another CA")

    @property
    def config(self) -> dict[str, Any]:
        """The settings of an `ldap` connection to this directory."""
        return {
            "urls": [self.url],
            "ca_certificates": self.authority.certificate,
            "base_dn": BASE,
            "bind_dn": READER,
            "email_domains": ["corp.example"],
        }

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of that connection."""
        return {"bind_password": READER_PASSWORD}

    def person_dn(self, user: str) -> str:
        """Return the name of a person's entry."""
        return f"CN={user},CN=Users,{BASE}"

    def group_dn(self, name: str) -> str:
        """Return the name of a group's entry."""
        return f"CN={name},CN=Users,{BASE}"

    def add_person(self, user: str, password: str) -> Record:
        """Return the record of a person whose account is in use."""
        return self.person_dn(user), {
            "objectClass": ["user"],
            "sAMAccountName": user,
            "userPrincipalName": f"{user}@corp.example",
            "displayName": user.capitalize(),
            "mail": f"{user}@corp.example",
            "unicodePwd": f'"{password}"'.encode("utf-16-le"),
            "userAccountControl": "512",
        }

    def add_group(self, name: str, members: list[str]) -> Record:
        """Return the record of a global security group whose members are the entries of these names."""
        return self.group_dn(name), {
            "objectClass": ["group"],
            "sAMAccountName": name,
            "groupType": "-2147483646",
            "member": members,
        }

    def load(self, *records: Record) -> None:
        """Add these entries."""
        self._send("ldapadd", as_ldif(records))

    def change(self, ldif: str) -> None:
        """Apply change records."""
        self._send("ldapmodify", ldif)

    def set_flags(self, user: str, **attributes: str) -> None:
        """Give a person's account these attributes, such as userAccountControl."""
        self.change(as_replacement(self.person_dn(user), attributes))

    def _send(self, tool: str, ldif: str) -> None:
        authority = self.directory / "authority.pem"
        send_ldif(tool, ldif, url=self.url, authority=authority, name=ADMIN, password=ADMIN_PASSWORD)

    def provision(self) -> Path:
        """Make the domain and write certificates and configuration; return the latter's path."""
        command = ["samba-tool", "domain", "provision", f"--targetdir={self.directory}"]
        command += ["--realm=CORP.EXAMPLE", "--domain=CORP", "--server-role=dc", "--dns-backend=NONE"]
        command += ["--use-rfc2307", "--host-name=dc1", f"--host-ip={self.address}"]
        command += [f"--adminpass={ADMIN_PASSWORD}"]
        done = subprocess.run(command, capture_output=True, timeout=PROVISION_SECONDS)
        if done.returncode:
            raise RuntimeError(f"the domain was not provisioned: {done.stderr.decode()[-2000:]}")
        (self.directory / "authority.pem").write_text(self.authority.certificate)
        certificate, key = self.authority.issue(self.address, "localhost").write(self.directory, "server")
        path = self.directory / "smb.conf"
        path.write_text(
            CONFIGURATION.format(
                address=self.address,
                directory=self.directory,
                authority=self.directory / "authority.pem",
                certificate=certificate,
                key=key,
            )
        )
        return path

    def fill(self) -> None:
        """Add the account that reads the directory, and the people whom a directory starts with."""
        self.load(
            self.add_person("reader", READER_PASSWORD),
            self.add_person("ada", "Ada-1-password"),
            self.add_person("bob", "Bob-1-password"),
            self.add_group("engineering", [self.person_dn("ada")]),
            self.add_group("agents", [self.group_dn("engineering")]),
            self.add_group("sales", [self.person_dn("bob")]),
        )


def missing_reason() -> str:
    """Return what is missing on this machine to run it, or an empty text."""
    missing = [tool for tool in ("samba-tool", "ldapadd", "ldapmodify") if shutil.which(tool) is None]
    if not TEMPLATES.exists():
        missing.append(str(TEMPLATES))
    if missing:
        packages = "samba-ad-dc, samba-ad-provision, samba-dsdb-modules, python3-samba, ldap-utils"
        return f"missing: {', '.join(missing)} (Debian packages {packages})"
    return "" if os.geteuid() == 0 else "a domain controller answers at port 389, which only root may open"


@contextlib.contextmanager
def start(directory: Path, program: str) -> Iterator[SambaAd]:
    """Run a domain controller with its files in `directory` until the block ends.

    Its ports are fixed, so it gets a loopback address of its own.
    """
    server = SambaAd(directory, _free_address())
    configuration = server.provision()
    command = [program, "-i", "-M", "single", "-s", str(configuration), "--debug-stdout"]
    log = directory / "samba.log"
    with running(command, port=636, address=server.address, log=log, cwd=directory, extra_env={}):
        server.fill()
        yield server


def _free_address() -> str:
    for _ in range(20):
        address = f"127.{1 + secrets.randbelow(250)}.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"
        with socket.socket() as probe:
            if probe.connect_ex((address, 636)) != 0:
                return address
    raise RuntimeError("every loopback address that was tried is taken at port 636")
