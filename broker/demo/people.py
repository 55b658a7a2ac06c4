"""Who works at the demo company, at which identity provider, and in which groups. One table."""

from dataclasses import dataclass, field

ENTRA_TENANT_ID = "6b1f6f0e-3c62-4a57-9d0a-3f4f1f4f7a11"
ENTRA_SUPPORT_GROUP = "0f6a3b52-77c1-4f0e-8a3d-2f1b7c9d5e01"
ENTRA_READERS_GROUP = "4c2d9e18-5b0a-4d6f-b7e2-91a3c5f70b02"
ENTRA_EVERYBODY_GROUP = "9a7e1c04-2d3f-4b8c-a6d5-0e4f8b2c6d03"


@dataclass(slots=True)
class Person:
    """A person at one identity provider. `groups` may be changed while the demo runs.

    `subject` is the provider's own stable id; `amr` what the sign-in proves, as far as the provider tells.
    """

    key: str
    given_name: str
    family_name: str
    email: str
    subject: str
    groups: list[str]
    about: str
    amr: tuple[str, ...] = ("pwd", "mfa", "swk")
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Given and family name."""
        return f"{self.given_name} {self.family_name}"


def okta_people() -> list[Person]:
    """People of the Okta-like provider, whose groups are names."""
    return [
        Person(
            "maya", "Maya", "Lindqvist", "maya@acme.test", "00u1maya7QH3ijk0h7Ab",
            ["Everyone", "agents-support"], "Support lead: may read and create tickets",
        ),
        Person(
            "omar", "Omar", "Haddad", "omar@acme.test", "00u1omar2XH9ijk0h7Cd",
            ["Everyone", "agents-readers"], "Accounting: may only read tickets", ("pwd",),
        ),
        Person(
            "ines", "Inês", "Carvalho", "ines@acme.test", "00u1ines5BH4ijk0h7Ef",
            ["Everyone", "agents-support", "agents-admins"], "IT administrator of the broker",
        ),
    ]  # fmt: skip


def entra_people() -> list[Person]:
    """People of the Entra-like provider, whose groups are GUIDs; one is in too many for the token."""
    return [
        Person(
            "jonas", "Jonas", "Weber", "jonas@acme-werke.test", "b7d0c6de-51ab-4c55-8d53-7a2f0f9d1101",
            [ENTRA_EVERYBODY_GROUP, ENTRA_SUPPORT_GROUP], "Support: may read and create tickets",
        ),
        Person(
            "sofia", "Sofia", "Marino", "sofia@acme-werke.test", "b7d0c6de-51ab-4c55-8d53-7a2f0f9d1102",
            [ENTRA_EVERYBODY_GROUP, ENTRA_READERS_GROUP], "Factory office: may only read tickets",
        ),
        Person(
            "tomek", "Tomek", "Zając", "tomek@acme-werke.test", "b7d0c6de-51ab-4c55-8d53-7a2f0f9d1103",
            [ENTRA_SUPPORT_GROUP, *(f"c0ffee00-0000-4000-8000-{number:012d}" for number in range(240))],
            "In 241 groups: too many for the token, so they count as unknown",
        ),
    ]  # fmt: skip


def google_people() -> list[Person]:
    """People of the Google-like provider, whose groups are the names that the administrator selected."""
    return [
        Person(
            "aiko", "Aiko", "Tanaka", "aiko@acme-labs.test", "107691503500061507151",
            ["Agents Support"], "Support in the lab: may read and create tickets",
        ),
        Person(
            "lars", "Lars", "Nygaard", "lars@acme-labs.test", "107691503500061507152",
            [], "In no mapped group: may do nothing",
        ),
    ]  # fmt: skip
