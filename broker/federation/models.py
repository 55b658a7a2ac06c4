"""Tables of sign-ins and their tests, of keys and documents of providers, of passwords and walks."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class SignInFlow(TenantScoped, Base):
    """A round trip to an identity provider. Bound to one browser; taken once by a conditional UPDATE."""

    __tablename__ = "sign_in_flows"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)  # of `state` or RelayState
    connection_id: Mapped[str] = mapped_column(String(40))
    browser_hash: Mapped[str] = mapped_column(String(64))
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary)  # nonce, PKCE verifier, request id
    sealed_answer: Mapped[bytes | None] = mapped_column(
        LargeBinary
    )  # a posted SAML response, until continued
    resume_url: Mapped[str] = mapped_column(String(2000))  # a path of ours, written by us
    test_id: Mapped[str] = mapped_column(
        String(40), default=""
    )  # of a connection test, which signs nobody in
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_sign_in_flows_expires_at", "expires_at"),
        Index("ix_sign_in_flows_browser", "tenant_id", "browser_hash"),
    )


class ConnectionTest(TenantScoped, Base):
    """What an administrator tried of a connection, and what was found; the report is sealed."""

    __tablename__ = "connection_tests"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))  # waiting | passed | warning | failed
    sealed_report: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_connection_tests_connection", "tenant_id", "connection_id", "created_at"),
        Index("ix_connection_tests_expires_at", "expires_at"),
    )


class ServiceKeyPair(TenantScoped, Base):
    """A key pair of ours for one connection: a SAML provider checks with it, or encrypts for us."""

    __tablename__ = "service_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    use: Mapped[str] = mapped_column(String(16))  # signing | encryption
    number: Mapped[int] = mapped_column(Integer)  # counts the changes of a connection's keys
    state: Mapped[str] = mapped_column(String(16))  # next | active | former
    certificate: Mapped[str] = mapped_column(Text)  # base64 of DER
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)  # of the certificate

    __table_args__ = (UniqueConstraint("tenant_id", "connection_id", "use", "number"),)


class PasswordAttempts(TenantScoped, Base):
    """How many passwords were tried for one account, or from one address, within a window that ends."""

    __tablename__ = "password_attempts"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)  # account | address
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)  # keyed: names are not to be guessed
    tried: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_password_attempts_expires_at", "expires_at"),)


class MetadataReading(TenantScoped, Base):
    """How the last reading of a provider's metadata went; what was taken over stands in the connection."""

    __tablename__ = "metadata_readings"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    refresh_at: Mapped[int] = mapped_column(BigInteger)  # not before this
    read_at: Mapped[int | None] = mapped_column(BigInteger)  # the last time that it was good
    changed_at: Mapped[int | None] = mapped_column(BigInteger)  # the last time that something was taken over
    valid_until: Mapped[int | None] = mapped_column(BigInteger)  # what the document says of itself
    problem: Mapped[str] = mapped_column(String(40), default="")  # why the last reading failed
    offered: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # what nobody vouched for


class DirectorySync(TenantScoped, Base):
    """The last walk through a connection's directory: how far it is, and what it waits for."""

    __tablename__ = "directory_syncs"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    run: Mapped[int] = mapped_column(Integer)  # counts the walks of this connection
    state: Mapped[str] = mapped_column(String(16))  # running | waiting | done | cancelled
    phase: Mapped[str] = mapped_column(String(16))  # people | groups | leaving | memberships
    parts: Mapped[list[Any]] = mapped_column(JSON)  # what is left of the phase
    leaving: Mapped[int] = mapped_column(Integer, default=0)  # people whom the run switches off
    known: Mapped[int] = mapped_column(Integer, default=0)  # people before the run
    is_confirmed: Mapped[bool] = mapped_column(Boolean, default=False)
    problem: Mapped[str] = mapped_column(String(300), default="")
    started_at: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    next_at: Mapped[int | None] = mapped_column(BigInteger)  # when the next step or walk is due

    __table_args__ = (Index("ix_directory_syncs_next_at", "next_at"),)


class DirectoryPerson(TenantScoped, Base):
    """Somebody whom a walk found: whether they are still there, and whether we switched their user off."""

    __tablename__ = "directory_people"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    subject: Mapped[str] = mapped_column(String(500), primary_key=True)
    entry_key: Mapped[bytes] = mapped_column(LargeBinary)  # what groups know them by
    group_keys: Mapped[bytes] = mapped_column(LargeBinary)  # groups that do not list them, 16 bytes each
    first_run: Mapped[int] = mapped_column(Integer)
    run: Mapped[int] = mapped_column(Integer)  # the last that found them
    is_told_active: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(8))  # active | off, as carried out
    switched_off: Mapped[bool] = mapped_column(Boolean, default=False)  # a walk disabled the user


class DirectoryGroup(TenantScoped, Base):
    """A group that a walk found, with the keys of its direct members."""

    __tablename__ = "directory_groups"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    entry_key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    run: Mapped[int] = mapped_column(Integer)
    facts: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    aliases: Mapped[bytes] = mapped_column(LargeBinary)  # 16 bytes each
    members: Mapped[bytes] = mapped_column(LargeBinary)  # 16 bytes each
    is_cut: Mapped[bool] = mapped_column(Boolean)
