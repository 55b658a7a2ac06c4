"""Foreign identity providers, started for real on loopback, once per test process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.requirements import require, require_chosen, require_program
from tests.interop.servers import keycloak as keycloak_server
from tests.interop.servers import node_op as node_op_server
from tests.interop.servers import samba_ad as samba_ad_server
from tests.interop.servers import samlp as samlp_server
from tests.interop.servers import simplesamlphp as simplesamlphp_server
from tests.interop.servers import slapd as slapd_server
from tests.interop.servers import wycheproof as wycheproof_vectors
from tests.interop.servers.node_packages import install


@pytest.fixture(scope="session")
def simplesamlphp_process(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[simplesamlphp_server.SimpleSamlPhp]:
    """SimpleSAMLphp, running for the whole session."""
    require_chosen("simplesamlphp")
    reason = simplesamlphp_server.missing_reason()
    require("simplesamlphp", not reason, reason)
    php = require_program("simplesamlphp", "php")
    with simplesamlphp_server.start(tmp_path_factory.mktemp("simplesamlphp"), php) as server:
        yield server


@pytest.fixture(scope="session")
def node_packages() -> tuple[str, Path]:
    """The program `node` and the directory where the locked npm packages are installed."""
    require_chosen("node-packages")
    npm = require_program("node-packages", "npm")
    node = require_program("node-packages", "node")
    place, reason = install(npm)
    require("node-packages", place is not None, reason)
    assert place is not None
    return node, place


@pytest.fixture(scope="session")
def node_op_process(
    tmp_path_factory: pytest.TempPathFactory, node_packages: tuple[str, Path]
) -> Iterator[node_op_server.NodeOpenIdProvider]:
    """node oidc-provider, running for the whole session."""
    node, place = node_packages
    with node_op_server.start(tmp_path_factory.mktemp("node-op"), place, node) as server:
        yield server


@pytest.fixture(scope="session")
def samlp_process(
    tmp_path_factory: pytest.TempPathFactory, node_packages: tuple[str, Path]
) -> Iterator[samlp_server.Samlp]:
    """A SAML provider on samlp, running for the whole session."""
    node, place = node_packages
    with samlp_server.start(tmp_path_factory.mktemp("samlp"), place, node) as server:
        yield server


@pytest.fixture(scope="session")
def slapd_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slapd_server.Slapd]:
    """OpenLDAP's slapd, running for the whole session."""
    require_chosen("slapd")
    reason = slapd_server.missing_reason()
    require("slapd", not reason, reason)
    program = require_program("slapd", "slapd", "/usr/sbin/slapd")
    with slapd_server.start(tmp_path_factory.mktemp("slapd"), program) as server:
        yield server


@pytest.fixture(scope="session")
def samba_ad_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[samba_ad_server.SambaAd]:
    """Samba as a domain controller, provisioned afresh and running for the whole session."""
    require_chosen("samba-ad")
    reason = samba_ad_server.missing_reason()
    require("samba-ad", not reason, reason)
    program = require_program("samba-ad", "samba", "/usr/sbin/samba")
    with samba_ad_server.start(tmp_path_factory.mktemp("samba-ad"), program) as server:
        yield server


@pytest.fixture(scope="session")
def keycloak_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[keycloak_server.Keycloak]:
    """Keycloak, running for the whole session."""
    require_chosen("keycloak")
    require_program("keycloak", "java")
    place, reason = keycloak_server.find_place()
    require("keycloak", place is not None, reason)
    assert place is not None
    with keycloak_server.start(tmp_path_factory.mktemp("keycloak"), place) as server:
        yield server


@pytest.fixture(scope="session")
def wycheproof() -> wycheproof_vectors.Vectors:
    """The Wycheproof vectors."""
    require_chosen("wycheproof")
    require_program("wycheproof", "go")
    vectors, reason = wycheproof_vectors.fetch()
    require("wycheproof", vectors is not None, reason)
    assert vectors is not None
    return vectors


@pytest.fixture
def simplesamlphp(
    simplesamlphp_process: simplesamlphp_server.SimpleSamlPhp,
) -> simplesamlphp_server.SimpleSamlPhp:
    """SimpleSAMLphp with the people that it starts with (ada and bob)."""
    simplesamlphp_process.reset()
    return simplesamlphp_process


@pytest.fixture
def node_op(node_op_process: node_op_server.NodeOpenIdProvider) -> node_op_server.NodeOpenIdProvider:
    """node oidc-provider with the people that it starts with (ada and bob)."""
    node_op_process.reset()
    return node_op_process


@pytest.fixture
def keycloak(keycloak_process: keycloak_server.Keycloak) -> keycloak_server.Keycloak:
    """Keycloak with the groups and keys that its realm starts with."""
    keycloak_process.reset()
    return keycloak_process


@pytest.fixture
def samlp(samlp_process: samlp_server.Samlp) -> samlp_server.Samlp:
    """samlp with the people and options that it starts with (ada and bob)."""
    samlp_process.reset()
    return samlp_process
