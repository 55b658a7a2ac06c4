"""What a serving process does beside answering: delete what has expired, sign its part of the event log."""

from collections.abc import Mapping
from typing import cast

from sqlalchemy import Table

from broker.agents.models import RegistrationToken
from broker.approvals.models import Interaction
from broker.audit.checkpointing import Checkpointer
from broker.federation.directory_schedule import continue_due_syncs
from broker.federation.group_refresh import refresh_groups
from broker.federation.metadata_refresh import refresh_metadata
from broker.federation.models import ConnectionTest, PasswordAttempts, SignInFlow
from broker.kernel.database import Base
from broker.kernel.jobs import ExpiringTable, Periodic, Sweeper
from broker.kernel.models import ReplayMark
from broker.kernel.runtime import Runtime
from broker.oauth.back_channel_logout import send_due_logouts
from broker.oauth.client_upkeep import look_after_clients
from broker.scim.access import end_silent_links
from broker.scim.models import ScimRequest, ScimToken
from broker.tokens.key_rotation import advance_keys
from broker.tokens.models import (
    AuthorizationCode,
    BrowserSession,
    DeviceCode,
    Grant,
    IssuedToken,
    LogoutNotice,
    OneTimeLink,
    PersonalToken,
    PushedRequest,
    RefreshToken,
    Task,
)
from idp_connectors.base import Connector

_DAY = 86_400
CHECKPOINT_SECONDS = 300.0
PROVISIONING_SECONDS = 300.0
METADATA_SECONDS = 300.0
CLIENTS_SECONDS = 300.0
GROUPS_SECONDS = 60.0
KEYS_SECONDS = 30.0
LOGOUT_SECONDS = 5.0


def _expiring(model: type[Base], keep_seconds: int = 0) -> ExpiringTable:
    return ExpiringTable(cast(Table, model.__table__), keep_seconds=keep_seconds)


EXPIRING = (
    # A minute more than the clock skew that was granted when the mark was made.
    _expiring(ReplayMark, 60),
    _expiring(SignInFlow),
    _expiring(ConnectionTest),
    _expiring(PasswordAttempts),
    _expiring(Interaction, _DAY),
    # A code or refresh token that comes back after its end must still be known, to end what hangs on it.
    _expiring(AuthorizationCode, _DAY),
    _expiring(LogoutNotice, _DAY),
    _expiring(DeviceCode, _DAY),
    _expiring(RefreshToken, _DAY),
    _expiring(PersonalToken, 30 * _DAY),
    _expiring(OneTimeLink, _DAY),
    _expiring(Task, 30 * _DAY),
    _expiring(PushedRequest),
    # A week of what providers asked; the expiry is a week after the request.
    _expiring(ScimRequest),
    _expiring(ScimToken, 30 * _DAY),
    _expiring(BrowserSession, _DAY),
    _expiring(RegistrationToken, 30 * _DAY),
    # People see for a month what their agents did. Tokens go before the grants that they hang on.
    _expiring(IssuedToken, 30 * _DAY),
    _expiring(Grant, 31 * _DAY),
)
"""Every table whose rows end by themselves, and how long an ended row is still of use."""


def housekeeping(rt: Runtime, connectors: Mapping[str, Connector]) -> tuple[Periodic, ...]:
    """Return the background jobs of one serving process, not started."""
    checkpointer = Checkpointer(rt)
    return (
        Sweeper(rt, EXPIRING),
        Periodic(
            "provisioning", lambda: {"ended": end_silent_links(rt, rt.clock.now())}, PROVISIONING_SECONDS
        ),
        Periodic("groups", lambda: refresh_groups(rt, connectors), GROUPS_SECONDS),
        Periodic("metadata", lambda: refresh_metadata(rt, connectors), METADATA_SECONDS),
        Periodic("directories", lambda: continue_due_syncs(rt, connectors), GROUPS_SECONDS),
        Periodic("logouts", lambda: send_due_logouts(rt), LOGOUT_SECONDS),
        Periodic("keys", lambda: advance_keys(rt), KEYS_SECONDS),
        Periodic("clients", lambda: look_after_clients(rt), CLIENTS_SECONDS),
        Periodic("checkpoint", lambda: {"checkpoints": checkpointer.run(rt.clock.now())}, CHECKPOINT_SECONDS),
    )
