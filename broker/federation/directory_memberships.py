"""From what a walk found to the groups of everybody who has signed in, nested ones included."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, select

from broker.audit.log import ActorRef
from broker.directory.group_facts import tell, tell_again
from broker.directory.models import IdentityLink
from broker.federation.directory_walking import Walk
from broker.federation.models import DirectoryGroup, DirectoryPerson
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.tokens.lost_roles import ending_lost_roles, record_losses
from idp_connectors.base import Group

_KEY_BYTES = 16
_BATCH = 200
_STREAM = 100


@dataclass
class Web:
    """Every group by number: its facts, the groups that list it, and the groups of each person."""

    numbers: dict[bytes, int] = field(default_factory=dict)
    facts: list[tuple[Group, ...]] = field(default_factory=list)
    parents: list[list[int]] = field(default_factory=list)
    of_person: dict[bytes, list[int]] = field(default_factory=dict)
    is_cut: bool = False

    def above(self, person: bytes, group_keys: bytes, max_depth: int) -> tuple[set[int], bool]:
        """Return the numbers of the person's groups, and whether some lie deeper than ``max_depth``."""
        listed = [self.numbers[key] for key in keys_in(group_keys) if key in self.numbers]
        level = {*self.of_person.get(person, ()), *listed}
        found: set[int] = set()
        for _ in range(max_depth):
            # What was seen is not visited again, so that groups in a circle end (L08).
            level -= found
            if not level:
                return found, False
            found |= level
            level = {parent for number in level for parent in self.parents[number]}
        return found, bool(level - found)


def store_memberships(walk: Walk, after: str) -> None:
    """Store the groups of the people behind the user ``after``; raises WalkStopped.

    The place is stored with each batch. Whoever signed in since the walk began keeps what that told.
    """
    with walk.rt.database.core_read() as core:
        people = _people_after(core, walk, after)
        web = _weave(core, walk, {row[1] for row in people}) if people else Web()
    for first in range(0, len(people), _BATCH):
        batch = people[first : first + _BATCH]
        with walk.rt.database.core_write() as core:
            walk.keep_lease(core)
            now = walk.rt.clock.now()
            with ending_lost_roles(core, walk.rt, walk.tenant.id, [row[0] for row in batch], now) as watch:
                for user_id, key, group_keys in batch:
                    _store(core, walk, web, user_id, key, group_keys)
            record_losses(
                core,
                CallContext(now=now, request_id=new_id("req")),
                watch.losses,
                tenant_id=walk.tenant.id,
                connection_id=walk.connection.id,
                actor=ActorRef("system", "directory"),
                writer_id=walk.rt.writer_id,
            )
            walk.advance(core, parts=[batch[-1][0]])


def keys_in(octets: bytes) -> Iterator[bytes]:
    """Yield the keys that were stored one behind the other."""
    return (octets[at : at + _KEY_BYTES] for at in range(0, len(octets), _KEY_BYTES))


def _store(core: Connection, walk: Walk, web: Web, user_id: str, key: bytes, group_keys: bytes) -> None:
    numbers, is_deeper = web.above(key, group_keys, walk.reader.max_depth)
    state = "truncated" if is_deeper or web.is_cut else "complete"
    groups = [fact for number in sorted(numbers) for fact in web.facts[number]]
    told = tell(groups, state, walk.reader.source, walk.started_at)
    tell_again(core, walk.tenant.id, walk.connection.id, user_id, told, before=walk.started_at)


def _people_after(core: Connection, walk: Walk, after: str) -> Sequence[tuple[str, bytes, bytes]]:
    rows = core.execute(
        select(IdentityLink.user_id, DirectoryPerson.entry_key, DirectoryPerson.group_keys)
        .join(
            DirectoryPerson,
            and_(
                DirectoryPerson.tenant_id == IdentityLink.tenant_id,
                DirectoryPerson.connection_id == IdentityLink.connection_id,
                DirectoryPerson.subject == IdentityLink.subject,
            ),
        )
        .where(
            IdentityLink.tenant_id == walk.tenant.id,
            IdentityLink.connection_id == walk.connection.id,
            IdentityLink.user_id > after,
            DirectoryPerson.run == walk.run,
        )
        .order_by(IdentityLink.user_id)
    )
    return [(str(row[0]), bytes(row[1]), bytes(row[2])) for row in rows]


def _weave(core: Connection, walk: Walk, people: set[bytes]) -> Web:
    """Read all groups twice, one after the other: names first, then who is in which."""
    web = Web()
    mine = and_(
        DirectoryGroup.tenant_id == walk.tenant.id,
        DirectoryGroup.connection_id == walk.connection.id,
        DirectoryGroup.run == walk.run,
    )
    streamed = core.execution_options(yield_per=_STREAM)
    names = select(
        DirectoryGroup.entry_key, DirectoryGroup.aliases, DirectoryGroup.facts, DirectoryGroup.is_cut
    )
    for row in streamed.execute(names.where(mine).order_by(DirectoryGroup.entry_key)):
        number = len(web.facts)
        web.facts.append(tuple(Group(**fact) for fact in row.facts))
        web.parents.append([])
        web.is_cut = web.is_cut or row.is_cut
        for key in (bytes(row.entry_key), *keys_in(bytes(row.aliases))):
            web.numbers[key] = number
    members = select(DirectoryGroup.entry_key, DirectoryGroup.members).where(mine)
    for group_key, octets in streamed.execute(members):
        number = web.numbers[bytes(group_key)]
        for key in keys_in(bytes(octets)):
            if key in people:
                web.of_person.setdefault(key, []).append(number)
            elif key in web.numbers:
                web.parents[web.numbers[key]].append(number)
    return web
