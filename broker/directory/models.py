"""Tables of users, identity links, provisioned people, group snapshots, roles and group mappings."""

from sqlalchemy import JSON, BigInteger, Boolean, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class User(TenantScoped, Base):
    """A person. The e-mail address is for display; nobody is ever found by it at sign-in."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(200), default="")
    email: Mapped[str | None] = mapped_column(String(320))
    email_verified_by: Mapped[str] = mapped_column(String(24), default="none")
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | disabled
    cutoff_at: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_sign_in_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_users_tenant_name", "tenant_id", "display_name", "id"),)


class IdentityLink(TenantScoped, Base):
    """Binds an upstream identity to a user. The key is never an e-mail address (the nOAuth fault)."""

    __tablename__ = "identity_links"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(40))
    connection_id: Mapped[str] = mapped_column(String(40))
    issuer: Mapped[str] = mapped_column(String(500))
    subject_kind: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("tenant_id", "connection_id", "issuer", "subject_kind", "subject"),
        Index("ix_identity_links_user", "tenant_id", "user_id"),
    )


class ProvisionedPerson(TenantScoped, Base):
    """What provisioning told of a person, before or beside sign-in: who they are, whether they may be here.

    A deleted person stays as a row, so that a sign-in later does not let them in as somebody new.
    """

    __tablename__ = "provisioned_people"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    match_key: Mapped[str | None] = mapped_column(String(500))  # the subject they sign in with; never e-mail
    user_id: Mapped[str | None] = mapped_column(String(40))  # None until they are bound
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | disabled | deleted
    switched_off: Mapped[bool] = mapped_column(Boolean, default=False)  # provisioning disabled the user
    groups: Mapped[list[dict[str, str]] | None] = mapped_column(JSON(none_as_null=True))  # None: not pushed
    fetched_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("tenant_id", "connection_id", "match_key"),
        Index("ix_provisioned_people_user", "tenant_id", "user_id"),
    )


class GroupSnapshot(TenantScoped, Base):
    """The groups of a user as one connection last told them: a fact with source, time and completeness.

    A source that could not be asked (state "error") leaves groups and time of the answer before.
    """

    __tablename__ = "group_snapshots"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    groups: Mapped[list[dict[str, str]]] = mapped_column(JSON)  # [{kind, value, display}]
    state: Mapped[str] = mapped_column(String(16))  # complete | truncated | overage | absent | error
    source: Mapped[str] = mapped_column(String(32))
    fetched_at: Mapped[int] = mapped_column(BigInteger)
    complete_groups: Mapped[list[dict[str, str]]] = mapped_column(
        JSON, default=list
    )  # of the last complete one
    complete_at: Mapped[int | None] = mapped_column(BigInteger)
    problem: Mapped[str] = mapped_column(String(300), default="")  # why they are not complete, for admins
    lookup_key: Mapped[str | None] = mapped_column(
        String(500)
    )  # whom the source is asked about; None: nobody
    refresh_at: Mapped[int | None] = mapped_column(BigInteger)  # when it is asked again

    __table_args__ = (Index("ix_group_snapshots_refresh_at", "refresh_at"),)


class Role(TenantScoped, Base):
    """A named set of scopes. People never hold it as a row; it follows from their groups."""

    __tablename__ = "roles"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(500), default="")
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)

    __table_args__ = (UniqueConstraint("tenant_id", "name"),)


class GroupMapping(TenantScoped, Base):
    """One rule: groups of this kind that match the pattern give the role."""

    __tablename__ = "group_mappings"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(16))  # name | id | email | dn | path
    match: Mapped[str] = mapped_column(String(8))  # exact | prefix | glob
    pattern: Mapped[str] = mapped_column(String(500))
    role: Mapped[str] = mapped_column(String(100))

    __table_args__ = (UniqueConstraint("tenant_id", "connection_id", "kind", "match", "pattern", "role"),)
