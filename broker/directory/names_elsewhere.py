"""How other servers name our people, and which person another server means. Never by a mutable address."""

from typing import Literal

from sqlalchemy import Connection, select

from broker.directory.models import IdentityLink, User


def find_introduction(
    core: Connection,
    tenant_id: str,
    user_id: str,
    *,
    connection_id: str,
    by: Literal["user_id", "upstream_subject", "email"],
) -> str | None:
    """Return the name by which another server knows a person, or None if it cannot be told.

    ``upstream_subject`` is the one name that the connection knows them by. An e-mail address counts only if
    it is in a domain of the provider itself. Without this: who can set an address at a provider would be
    introduced as somebody else (the nOAuth fault).
    """
    if by == "user_id":
        return user_id
    if by == "email":
        found = core.execute(
            select(User.email).where(
                User.tenant_id == tenant_id,
                User.id == user_id,
                User.email_verified_by == "idp_verified_domain",
            )
        )
        return found.scalar()
    subjects = core.execute(
        select(IdentityLink.subject).where(
            IdentityLink.tenant_id == tenant_id,
            IdentityLink.user_id == user_id,
            IdentityLink.connection_id == connection_id,
        )
    )
    names = list(subjects.scalars())
    return names[0] if len(names) == 1 else None


def find_linked_user(
    core: Connection, tenant_id: str, *, connection_id: str, issuer: str, subject_kind: str, subject: str
) -> str | None:
    """Return the person who signed in at the connection with exactly this key, or None."""
    found = core.execute(
        select(IdentityLink.user_id).where(
            IdentityLink.tenant_id == tenant_id,
            IdentityLink.connection_id == connection_id,
            IdentityLink.issuer == issuer,
            IdentityLink.subject_kind == subject_kind,
            IdentityLink.subject == subject,
        )
    )
    return found.scalar()
