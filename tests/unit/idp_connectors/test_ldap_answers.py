"""What a refused bind means, and what is told when the time ends half-way."""

import pytest

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.ldap.bind_answers import explain_bind, explain_service_bind
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.directory import Directory
from idp_connectors.ldap.groups import read_groups
from idp_connectors.ldap.people import find_by_username
from idp_connectors.ldap.wire import BindAnswer, Deadline, OutOfTime
from tests.builders.ldap_server import ldap_deps, serving
from tests.builders.ldap_trees import BASE, add_group, openldap

AD_MESSAGE = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {}, v1db1"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("525", "no such user"),
        ("52e", "wrong password"),
        ("52E", "wrong password"),
        ("530", "not allowed to sign in at this time"),
        ("531", "not allowed to sign in from this machine"),
        ("532", "password expired"),
        ("533", "account disabled"),
        ("701", "account expired"),
        ("773", "password must be changed"),
        ("775", "account locked"),
        ("57", "wrong password"),
        ("6fe", "code 6fe"),
    ],
)
def test_active_directory_hides_the_reason_in_a_number(code: str, reason: str):
    assert explain_bind(BindAnswer(49, AD_MESSAGE.format(code))) == reason


def test_elsewhere_the_result_is_the_reason():
    assert explain_bind(BindAnswer(49, "")) == "wrong password"
    assert explain_bind(BindAnswer(51, "busy")) == "result 51"


@pytest.mark.parametrize(
    ("result", "code", "field"),
    [
        (49, Code.CONFIG_INVALID, "bind_password"),
        (8, Code.CONFIG_INVALID, "bind_dn"),
        (53, Code.CONFIG_INVALID, "bind_dn"),
        (51, Code.UPSTREAM_UNREACHABLE, "urls"),
    ],
)
def test_a_refused_bind_account_names_the_setting(result: int, code: Code, field: str):
    refused = explain_service_bind(BindAnswer(result, ""), "dc1")
    assert (refused.code, refused.field) == (code, field)


class FewSteps(Deadline):
    """A deadline that passes after a number of steps, however long they take."""

    def __init__(self, steps: int) -> None:
        super().__init__(60)
        self._steps = steps

    def step(self, at_most: float) -> float:
        self._steps -= 1
        if self._steps < 0:
            raise OutOfTime
        return super().step(at_most)


def test_what_was_found_when_the_time_ends_is_told_as_cut():
    tree = openldap(ada="ada-password")
    team = add_group(tree, "team", f"uid=ada,ou=people,{BASE}")
    add_group(tree, "firm", team)
    with serving(tree) as server:
        config, secrets = server.settings()
        held = Directory(LdapConfig.model_validate({**config, **secrets}))
        patient = Deadline(60)
        with held.session(ldap_deps(), patient) as session:
            traits = held.traits(session, ldap_deps(), patient)
            person = find_by_username(session, held.config, traits, "ada", patient)
            assert person is not None
            in_time = read_groups(session, held.config, traits, person, FewSteps(3))
            too_late = read_groups(session, held.config, traits, person, FewSteps(1))
    assert (in_time.state, len(in_time.groups)) == ("complete", 6)
    assert (too_late.state, [group.value for group in too_late.groups if group.kind == "name"]) == (
        "truncated",
        ["team"],
    )
