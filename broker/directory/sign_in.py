"""From a verified identity to a user: by its stable key at its connection, never by e-mail (O60)."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection as CoreConnection
from sqlalchemy import Table, bindparam, insert, or_, select, update

from broker.directory.group_facts import AskAgain, store_groups, tell
from broker.directory.models import IdentityLink, User
from broker.directory.provisioning import claim_person, recognise
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.kernel.prepared import Prepared
from broker.tenants.models import Connection
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from idp_connectors.base import VerifiedIdentity

USED_SECONDS = 60
"""How exactly a connection's last sign-in is kept: without it, sign-ins would wait for each other's row."""

_USERS = cast(Table, User.__table__)
_LINKS = cast(Table, IdentityLink.__table__)
_CONNECTIONS = cast(Table, Connection.__table__)
_LINK_KEY = ("tenant_id", "connection_id", "issuer", "subject_kind", "subject")
_FIND_LINK = Prepared(
    select(_LINKS.c.user_id).where(*(_LINKS.c[name] == bindparam(name) for name in _LINK_KEY))
)
_MAKE_LINK = Prepared(lambda insert_or: insert_or(_LINKS).on_conflict_do_nothing())
_MAKE_USER = Prepared(insert(_USERS))
_UPDATE_USER = Prepared(
    update(_USERS)
    .where(
        _USERS.c.tenant_id == bindparam("tenant"),
        _USERS.c.id == bindparam("of_user"),
        _USERS.c.state == "active",
    )
    .values(
        {name: bindparam(f"to_{name}") for name in ("display_name", "email", "email_verified_by")}
        | {"last_sign_in_at": bindparam("now")}
    )
)
_NOTE_USE = Prepared(
    update(_CONNECTIONS)
    .where(
        _CONNECTIONS.c.tenant_id == bindparam("tenant"),
        _CONNECTIONS.c.id == bindparam("of_connection"),
        or_(
            _CONNECTIONS.c.last_sign_in_at.is_(None),
            _CONNECTIONS.c.last_sign_in_at <= bindparam("used_before"),
        ),
    )
    .values(last_sign_in_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class BoundUser:
    """The user that a sign-in belongs to; ``is_new`` at the identity's first sight."""

    user_id: str
    is_new: bool
    display_name: str
    email: str | None


def bind_identity(
    core: CoreConnection,
    tenant: TenantSnapshot,
    connection: ConnectionView,
    identity: VerifiedIdentity,
    now: int,
    *,
    again: AskAgain | None = None,
) -> BoundUser:
    """Return the user of (connection, issuer, subject_kind, subject), made at first sight.

    Updates the display fields and stores the groups as this connection told them at ``now``; ``again`` says
    how their source is asked between sign-ins. To be called in a write transaction of the tenant. Raises
    ``Refusal``: ``access_denied`` (user_disabled), ``sign_in_refused`` (connection_disabled,
    foreign_connection, unusable_subject).
    """
    _check_connection(tenant, connection)
    key = _key_of(tenant, connection, identity)
    person = recognise(core, tenant.id, connection.id, identity.subject)
    # Without this: somebody who was removed before they ever came would get in at their first sign-in.
    if person is not None and not person.is_active:
        raise _refuse_disabled()
    user_id, is_new = _find_or_make_link(core, key, now)
    profile = _profile_of(identity)
    if is_new:
        row = {"id": user_id, "tenant_id": tenant.id, "state": "active", "cutoff_at": 0}
        _MAKE_USER.run(core, row | profile | {"created_at": now, "last_sign_in_at": now})
    else:
        _update_user(core, tenant.id, user_id, profile, now)
    # Where provisioning pushes groups, its word stands: it also tells what changes between sign-ins.
    if not claim_person(core, tenant.id, connection.id, user_id, person):
        told = tell(
            identity.groups,
            identity.groups_state,
            identity.groups_source,
            now,
            problem=identity.groups_problem,
            again=again,
        )
        store_groups(core, tenant.id, connection.id, user_id, told)
    used = {"tenant": tenant.id, "of_connection": connection.id, "now": now}
    _NOTE_USE.run(core, used | {"used_before": now - USED_SECONDS})
    return BoundUser(user_id, is_new, profile["display_name"], profile["email"])


def find_bound_user(
    core: CoreConnection, tenant: TenantSnapshot, connection: ConnectionView, identity: VerifiedIdentity
) -> str | None:
    """Return the user whom this identity belongs to already; raises as ``bind_identity`` does."""
    _check_connection(tenant, connection)
    return _find_link(core, _key_of(tenant, connection, identity))


def _check_connection(tenant: TenantSnapshot, connection: ConnectionView) -> None:
    # Without this: a sign-in checked at one tenant's provider could be booked in another tenant (T02).
    own = tenant.connections.get(connection.id)
    if own is None:
        raise _refuse("foreign_connection", "This sign-in does not belong to this organisation.")
    if not own.is_active:
        raise _refuse("connection_disabled", "Sign-in through this provider is switched off.")


def _key_of(tenant: TenantSnapshot, connection: ConnectionView, identity: VerifiedIdentity) -> dict[str, str]:
    key = {
        "tenant_id": tenant.id,
        "connection_id": connection.id,
        "issuer": identity.issuer,
        "subject_kind": identity.subject_kind,
        "subject": identity.subject,
    }
    # Without this: an empty subject would be one user for everybody, and a cut one could be two people's.
    usable = all(value and value.isprintable() for value in key.values())
    if not usable or len(identity.subject) > 500 or len(identity.issuer) > 500:
        raise _refuse("unusable_subject", "Your provider did not say who you are in a usable way.")
    if len(identity.subject_kind) > 64:
        raise _refuse("unusable_subject", "Your provider did not say who you are in a usable way.")
    return key


def _find_or_make_link(core: CoreConnection, key: dict[str, str], now: int) -> tuple[str, bool]:
    """Return (user id, whether it is new); of two first sign-ins at once, the unique rule lets one win."""
    found = _find_link(core, key)
    if found is not None:
        return found, False
    user_id = new_id("usr")
    if _MAKE_LINK.run(core, {**key, "id": new_id("idl"), "user_id": user_id, "created_at": now}) == 1:
        return user_id, True
    winner = _find_link(core, key)
    if winner is None:
        raise Refusal(ErrorCode.TEMPORARILY_UNAVAILABLE, "Please sign in again.", reason="link_race")
    return winner, False


def _find_link(core: CoreConnection, key: dict[str, str]) -> str | None:
    found = _FIND_LINK.rows(core, key)
    return found[0].user_id if found else None


def _update_user(
    core: CoreConnection, tenant_id: str, user_id: str, profile: dict[str, Any], now: int
) -> None:
    told = {f"to_{name}": value for name, value in profile.items()}
    if _UPDATE_USER.run(core, {"tenant": tenant_id, "of_user": user_id, "now": now, **told}) != 1:
        raise _refuse_disabled()


def _profile_of(identity: VerifiedIdentity) -> dict[str, Any]:
    names = " ".join(part for part in (identity.given_name, identity.family_name) if part)
    email = _plain(identity.email or "", 320) or None
    return {
        "display_name": _plain(identity.display_name or names or identity.email or identity.subject, 200),
        "email": email,
        "email_verified_by": identity.email_verified_by if email else "none",
    }


def _plain(text: str, limit: int) -> str:
    return "".join(char for char in text if char.isprintable())[:limit].strip()


def _refuse(reason: str, public: str) -> Refusal:
    return Refusal(ErrorCode.SIGN_IN_REFUSED, public, reason=reason, whose_move=WhoseMove.ADMIN)


def _refuse_disabled() -> Refusal:
    return Refusal(
        ErrorCode.ACCESS_DENIED,
        "Your account here is switched off.",
        reason="user_disabled",
        whose_move=WhoseMove.ADMIN,
    )
