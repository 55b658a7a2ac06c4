"""What every connector that checks passwords must do; a new one inherits the suite and gives a directory."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest

from idp_connectors.base import (
    ConnectorError,
    Deps,
    GroupAnswer,
    LooksUpGroups,
    SignsInByPassword,
    VerifiedIdentity,
    secret_fields,
)
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.registry import CONNECTORS
from tests.builders.connector_deps import NOW
from tests.builders.ldap_server import LdapServer, ldap_deps, serving
from tests.builders.ldap_trees import BASE, active_directory, add_group, openldap, sid


class Directory(Protocol):
    """A directory with ada and bob, whose passwords are `ada-password` and `bob-password`."""

    kind: str
    deps: Deps

    def settings(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return configuration and secrets."""

    def set_groups(self, user: str, names: list[str]) -> None:
        """Make these the groups that a person was put into."""

    def switch_off(self, user: str) -> None:
        """Disable an account."""

    def requests(self) -> int:
        """Return how often the directory was asked anything."""

    def stop(self) -> None:
        """Be unreachable from now on."""


class LdapDirectory:
    kind = "ldap"
    deps = ldap_deps()

    def __init__(self, server: LdapServer, *, is_active_directory: bool) -> None:
        self.server = server
        self.is_active_directory = is_active_directory

    def settings(self) -> tuple[dict[str, Any], dict[str, str]]:
        return self.server.settings()

    def set_groups(self, user: str, names: list[str]) -> None:
        dn = f"uid={user},ou=people,{BASE}"
        for number, name in enumerate(names):
            add_group(self.server.tree, name, dn, objectSid=sid(3000 + number))
        if self.is_active_directory:
            tokens = [sid(513), *(sid(3000 + number) for number in range(len(names)))]
            self.server.tree.put(dn, tokenGroups=tokens)
        for dn_of, entry in self.server.tree.entries.items():
            if entry.get("cn", [b""])[0].decode() not in [*names, "Domain Users"] and "ou=groups" in dn_of:
                self.server.tree.put(dn_of, member=[])

    def switch_off(self, user: str) -> None:
        dn = f"uid={user},ou=people,{BASE}"
        if self.is_active_directory:
            self.server.tree.put(dn, userAccountControl=514)
        else:
            self.server.tree.put(dn, nsAccountLock="true")

    def requests(self) -> int:
        return self.server.connections + len(self.server.requests)

    def stop(self) -> None:
        self.server.close()


def own_names(answer: GroupAnswer | VerifiedIdentity) -> set[str]:
    return {group.value for group in answer.groups if group.kind == "name"} - {"Domain Users"}


class PasswordLoginContract:
    """Inherit, and give a fixture `people`."""

    def connector(self, people: Directory) -> Any:
        connector = CONNECTORS[people.kind]
        assert isinstance(connector, SignsInByPassword)
        assert isinstance(connector, LooksUpGroups)
        return connector

    def sign_in(self, people: Directory, user: str = "ada", password: str = "") -> VerifiedIdentity:
        login = self.connector(people).password_login(*people.settings())
        found = login.verify(user, password or f"{user}-password", people.deps)
        assert isinstance(found, VerifiedIdentity)
        return found

    def refusal(self, people: Directory, user: str, password: str) -> ConnectorError:
        login = self.connector(people).password_login(*people.settings())
        with pytest.raises(ConnectorError) as caught:
            login.verify(user, password, people.deps)
        return caught.value

    def test_the_right_password_says_who_it_is(self, people: Directory):
        people.set_groups("ada", ["eng", "ops"])
        identity = self.sign_in(people)
        assert identity.issuer
        assert identity.subject
        assert (identity.amr, identity.auth_time) == (("pwd",), NOW)
        assert (own_names(identity), identity.groups_state) == ({"eng", "ops"}, "complete")
        assert identity.groups_source

    def test_two_people_have_two_subjects_that_stay(self, people: Directory):
        ada, bob, again = (self.sign_in(people, user) for user in ("ada", "bob", "ada"))
        assert ada.subject == again.subject != bob.subject
        assert (ada.issuer, ada.subject_kind) == (bob.issuer, bob.subject_kind)

    def test_no_key_is_an_address_or_a_name(self, people: Directory):
        identity = self.sign_in(people)
        assert "ada" not in identity.subject
        assert "@" not in identity.subject

    @pytest.mark.parametrize("user", ["ada", "nobody", "*", "a" * 200])
    def test_every_wrong_guess_gets_the_same_words(self, people: Directory, user: str):
        assert self.sign_in(people)
        refused = self.refusal(people, user, "guess")
        assert refused.code == Code.UPSTREAM_REFUSED
        assert refused.public == self.refusal(people, "bob", "ada-password").public
        assert refused.field == "password"

    @pytest.mark.parametrize("password", ["", " ", "\0", "\n"], ids=["empty", "blank", "nul", "newline"])
    def test_no_password_is_refused_without_asking_the_directory(self, people: Directory, password: str):
        before = people.requests()
        assert self.refusal(people, "ada", password).field == "password"
        assert people.requests() == before
        assert self.sign_in(people)

    def test_an_account_that_is_switched_off_stays_out(self, people: Directory):
        assert self.sign_in(people)
        people.switch_off("ada")
        assert self.refusal(people, "ada", "ada-password").code == Code.ACCOUNT_UNUSABLE
        assert self.sign_in(people, "bob")

    def test_a_group_that_was_removed_is_gone(self, people: Directory):
        people.set_groups("ada", ["eng", "ops"])
        assert own_names(self.sign_in(people)) == {"eng", "ops"}
        people.set_groups("ada", ["eng"])
        assert own_names(self.sign_in(people)) == {"eng"}

    def test_groups_are_told_between_sign_ins(self, people: Directory):
        people.set_groups("ada", ["eng"])
        identity = self.sign_in(people)
        look = self.connector(people).group_lookup(*people.settings())
        for key, by in ((identity.subject, "subject"), ("ada", "username")):
            found = look.lookup(key, people.deps, by=by)
            assert (found.state, found.person, found.fetched_at) == ("complete", "active", NOW)
            assert found.groups == identity.groups

    def test_what_became_of_an_account_is_told(self, people: Directory):
        look = self.connector(people).group_lookup(*people.settings())
        people.switch_off("ada")
        assert look.lookup("ada", people.deps, by="username").person == "inactive"
        assert look.lookup("nobody", people.deps, by="username").person == "not_found"
        assert look.lookup("bob", people.deps, by="username").person == "active"

    def test_a_directory_that_is_down_is_no_empty_list(self, people: Directory):
        people.set_groups("ada", ["eng"])
        look = self.connector(people).group_lookup(*people.settings())
        assert look.lookup("ada", people.deps, by="username").state == "complete"
        people.stop()
        found = look.lookup("ada", people.deps, by="username")
        assert (found.state, found.person) == ("error", "unknown")
        assert found.problem
        assert self.refusal(people, "ada", "ada-password").code == Code.UPSTREAM_UNREACHABLE

    def test_every_setting_has_words_for_people(self, people: Directory):
        fields = CONNECTORS[people.kind].config_model.model_fields
        assert [name for name, info in fields.items() if not (info.title and info.description)] == []

    def test_secrets_are_marked_and_never_repeated(self, people: Directory):
        model = CONNECTORS[people.kind].config_model
        config, secrets = people.settings()
        assert secret_fields(model) == set(secrets)
        shown = repr(model.model_validate({**config, **secrets}))
        assert [secret for secret in secrets.values() if secret in shown] == []

    @pytest.mark.parametrize("change", [{"unknown_setting": 1}, "empty"], ids=["unknown", "empty"])
    def test_faulty_settings_name_their_field(self, people: Directory, change: Any):
        config, secrets = people.settings()
        faulty: Mapping[str, Any] = {} if change == "empty" else {**config, **change}
        with pytest.raises(ConnectorError) as caught:
            self.connector(people).password_login(faulty, secrets)
        assert caught.value.code == Code.CONFIG_INVALID
        assert caught.value.field


class TestOpenLdap(PasswordLoginContract):
    @pytest.fixture
    def people(self) -> Iterator[LdapDirectory]:
        with serving(openldap(ada="ada-password", bob="bob-password")) as server:
            yield LdapDirectory(server, is_active_directory=False)


class TestActiveDirectory(PasswordLoginContract):
    @pytest.fixture
    def people(self) -> Iterator[LdapDirectory]:
        with serving(active_directory(ada="ada-password", bob="bob-password")) as server:
            yield LdapDirectory(server, is_active_directory=True)
