"""May this account sign in: flags and dates of Active Directory, 389ds and OpenLDAP (L11)."""

import pytest

from idp_connectors.ldap.accounts import SENTENCES, filetime_seconds, find_obstacle
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Entry
from tests.builders.connector_deps import NOW

IN_USE = {"userAccountControl": "512", "accountExpires": "0", "pwdLastSet": "133000000000000000"}
YESTERDAY = str((NOW - 86_400 + 11_644_473_600) * 10_000_000)
TOMORROW = str((NOW + 86_400 + 11_644_473_600) * 10_000_000)
COMPUTED = "msDS-User-Account-Control-Computed"


def obstacle(flavour: str, **values: str) -> str:
    entry = Entry("uid=ada", {name.lower(): (value.encode(),) for name, value in values.items()})
    traits = Traits(flavour=flavour, naming_context="", is_paging=True, in_chain="works")
    return find_obstacle(entry, traits, NOW)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "", id="L11-in-use"),
        pytest.param({"userAccountControl": "514"}, "disabled", id="L11-disabled"),
        pytest.param({"userAccountControl": "66048"}, "", id="L11-password-never-expires"),
        pytest.param({"userAccountControl": ""}, "state unreadable", id="L11-flags-unreadable"),
        pytest.param({"accountExpires": YESTERDAY}, "expired", id="L11-expired-yesterday"),
        pytest.param({"accountExpires": TOMORROW}, "", id="L11-expires-tomorrow"),
        pytest.param({"accountExpires": "9223372036854775807"}, "", id="L11-never-expires"),
        pytest.param({COMPUTED: "16"}, "locked", id="L11-locked"),
        pytest.param({COMPUTED: "8388608"}, "password expired", id="L11-password-expired"),
        pytest.param({COMPUTED: "0"}, "", id="L11-nothing-computed"),
        pytest.param({"pwdLastSet": "0"}, "password must be changed", id="L11-must-change"),
        pytest.param({"pwdLastSet": "0", "userAccountControl": "66048"}, "", id="L11-exempt-from-change"),
    ],
)
def test_active_directory_accounts(changes: dict[str, str], expected: str):
    assert obstacle("active_directory", **{**IN_USE, **changes}) == expected
    assert obstacle("samba_ad", **{**IN_USE, **changes}) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, "", id="L11-in-use"),
        pytest.param({"nsAccountLock": "TRUE"}, "disabled", id="L11-389ds-locked"),
        pytest.param({"nsAccountLock": "false"}, "", id="L11-389ds-unlocked"),
        pytest.param({"pwdAccountLockedTime": "000001010000Z"}, "locked", id="L11-openldap-locked-for-good"),
        pytest.param({"pwdReset": "TRUE"}, "password must be changed", id="L11-openldap-must-change"),
        pytest.param({"userAccountControl": "514"}, "", id="L11-flag-of-another-directory"),
    ],
)
def test_accounts_elsewhere(values: dict[str, str], expected: str):
    for flavour in ("openldap", "389ds", "generic"):
        assert obstacle(flavour, **values) == expected


def test_every_obstacle_has_a_sentence():
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


def test_a_filetime_is_counted_from_1601():
    assert filetime_seconds(116_444_736_000_000_000) == 0
