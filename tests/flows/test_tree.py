"""A thousand tokens derived from one: revoking any of them ends exactly what hangs on it, at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import event, select

from broker.audit.models import AuditRecord
from tests.builders.oauth import Scene, claims_of
from tests.builders.world import open_world

pytestmark = pytest.mark.proof

# Maya's token of A; A narrows it for nine tasks; B joins each ten times, and C each of those ten times.
TASKS, HANDED_OVER = 9, 10
SIZE = 1 + TASKS + TASKS * HANDED_OVER + TASKS * HANDED_OVER * HANDED_OVER


@dataclass(frozen=True, slots=True)
class Node:
    """A token, the agent that holds it, and the ids of the tokens that it was derived from."""

    token: str
    holder: str
    above: tuple[str, ...]

    @property
    def jti(self) -> str:
        """The token's id."""
        return str(claims_of(self.token)["jti"])


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    """The scene in a tenant that lets one tree hold a thousand tokens."""
    with open_world(database_url, tmp_path) as world:
        yield Scene(world, settings={"tree_limit": 2 * SIZE, "fan_out": 2 * SIZE})


def grow(scene: Scene) -> list[Node]:
    """The tree, from the root on, level by level."""
    own = {name: scene.own_token(name) for name in ("b", "c")}
    root = Node(scene.person_token(), "a", ())
    levels = [[root]]
    for holder, width in (("a", TASKS), ("b", HANDED_OVER), ("c", HANDED_OVER)):
        levels.append(
            [
                Node(
                    scene.exchange(parent.token, holder, actor=own.get(holder)).token,
                    holder,
                    (*parent.above, parent.jti),
                )
                for parent in levels[-1]
                for _ in range(width)
            ]
        )
    return [node for level in levels for node in level]


def is_active(scene: Scene, node: Node) -> bool:
    return bool(scene.introspect(node.token)["active"])


def revoke(scene: Scene, node: Node) -> list[tuple[str, int]]:
    """Revoke a token as its holder; the UPDATE statements on issued tokens with their row counts."""
    updates: list[tuple[str, int]] = []

    def note(_connection, cursor, statement, *_):
        if statement.startswith("UPDATE issued_tokens"):
            updates.append((statement, cursor.rowcount))

    engine = scene.world.rt.database.engine
    event.listen(engine, "after_cursor_execute", note)
    try:
        answer = scene.call("revoke", {"token": node.token}, client=f"cli_{node.holder}")
    finally:
        event.remove(engine, "after_cursor_execute", note)
    assert answer.status == 200
    return updates


def test_each_revocation_is_one_update_of_exactly_one_subtree(scene: Scene) -> None:
    tree = grow(scene)
    assert len(tree) == SIZE == 1_000
    assert all(is_active(scene, node) for node in tree)

    leaf, middle, root = tree[-1], tree[1 + TASKS], tree[0]
    gone: set[str] = set()
    for chosen in (leaf, middle, root):
        subtree = {node.jti for node in tree if chosen.jti in (*node.above, node.jti)}
        updates = revoke(scene, chosen)

        assert [count for _, count in updates] == [len(subtree - gone)]
        gone |= subtree
        assert {node.jti for node in tree if not is_active(scene, node)} == gone

    assert (leaf.holder, middle.holder, root.holder) == ("c", "b", "a")
    assert revoked_counts(scene) == [1, 1 + HANDED_OVER, SIZE - 1 - (1 + HANDED_OVER)]


def revoked_counts(scene: Scene) -> list[int]:
    """What the event log says that each revocation ended."""
    with scene.world.rt.database.read(scene.tenant.id) as session:
        rows = session.scalars(
            select(AuditRecord).where(AuditRecord.event == "token.revoked").order_by(AuditRecord.seq)
        )
        return [row.data["count"] for row in rows]
