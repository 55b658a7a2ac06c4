"""What connectors get from the broker: time, the guarded way out, single use, a cache."""

from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from broker.federation.service_keys import get_service_keys
from broker.kernel.replay import spend
from broker.kernel.runtime import Runtime
from broker.kernel.versions import Caches
from idp_connectors.base import Cache, Deps, MemoryCache

# Keys and discovery documents of providers, remembered per running broker.
_caches: WeakKeyDictionary[Caches, Cache] = WeakKeyDictionary()


def connector_deps(rt: Runtime, tenant_id: str, now: int, *, connection_id: str = "") -> Deps:
    """Return the connectors' dependencies for one step of one tenant's sign-in (epoch seconds).

    With ``connection_id`` they can also use our own keys for that connection.
    """
    return Deps(
        now=now,
        http=rt.egress,
        spend=partial(spend_once, rt, tenant_id),
        cache=_caches.setdefault(rt.caches, MemoryCache()),
        service_keys=partial(get_service_keys, rt, tenant_id, connection_id, now) if connection_id else None,
        dial=rt.dial,
    )


@dataclass(slots=True)
class HeldMarks:
    """What an answer uses up, held until it is written in the transaction of what the answer leads to.

    It saves a sign-in a transaction of its own. Whoever holds marks must end with ``spend`` or
    ``spend_alone``, whatever became of the sign-in.
    """

    held: list[tuple[str, str, int]] = field(default_factory=list)

    def hold(self, kind: str, key: str, expires_at: int) -> bool:
        """Take a mark as if it were spent now; whether it was new, ``spend`` will say."""
        self.held.append((kind, key, expires_at))
        return True

    def spend(self, core: Connection, tenant_id: str) -> bool:
        """Write the marks in the caller's transaction; returns whether every one of them was new."""
        spent = [
            spend(core, kind=kind, tenant_id=tenant_id, key=key, expires_at=expires_at)
            for kind, key, expires_at in self.held
        ]
        return all(spent)

    def spend_alone(self, rt: Runtime, tenant_id: str) -> None:
        """Write the marks of a sign-in that failed, in a transaction of their own."""
        for mark in self.held:
            spend_once(rt, tenant_id, *mark)


def spend_once(rt: Runtime, tenant_id: str, kind: str, key: str, expires_at: int) -> bool:
    """Return True exactly once per (kind, key) of the tenant, whatever becomes of the sign-in afterwards.

    The mark commits on its own. Without this: a fault after the check would undo it, and the same
    assertion could be presented again.
    """
    with rt.database.core_write() as connection:
        return spend(connection, kind=kind, tenant_id=tenant_id, key=key, expires_at=expires_at)
