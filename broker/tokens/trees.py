"""How large a tree of tokens is, so that one grant cannot grow without bound (protocols §6.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Integer, Select, Table, func, literal_column, select

from broker.kernel.group_commit import Transaction
from broker.kernel.prepared import MOST_KEYS, Key, PreparedForMany, Reading
from broker.tokens import models
from broker.tokens.issuing import insert_rows

_TABLE = cast(Table, models.IssuedToken.__table__)


def _count(keys: Sequence[Key]) -> Reading:
    first, *others = (_count_one(number, key) for number, key in enumerate(keys))
    return first.union_all(*others) if others else first


def _count_one(number: int, key: Key) -> Select[int, int, int]:
    # A tree is a range of paths, and the limit keeps it small: the count reads at most that many rows.
    return select(
        literal_column(str(number), Integer).label("number"),
        func.count().label("tokens"),
        func.count().filter(_TABLE.c.parent_jti == key("parent")).label("children"),
    ).where(
        _TABLE.c.tenant_id == key("tenant"),
        _TABLE.c.path >= key("first"),
        _TABLE.c.path < key("beyond"),
        _TABLE.c.ended_at.is_(None),
        _TABLE.c.expires_at > key("at"),
    )


_COUNT = PreparedForMany(_count)


@dataclass(frozen=True, slots=True)
class TreeSize:
    """Live tokens of a tree, and how many of them are children of one token."""

    tokens: int
    children: int


class TreeKey(NamedTuple):
    """A question for a tree's size: ``root`` is the path of its first token, ``parent`` a ``jti``."""

    tenant_id: str
    root: str
    parent: str
    now: int


def count_tree(tx: Transaction, key: TreeKey) -> TreeSize:
    """Return the size of a tree, with what this transaction has not written yet.

    Without the latter: exchanges that arrive together would each see room for one more.
    """
    stored: TreeSize = tx.find(read_sizes, key)
    waiting = [
        row
        for row in tx.deferred(insert_rows)
        if row["tenant_id"] == key.tenant_id and row["path"].startswith(key.root)
    ]
    return TreeSize(
        stored.tokens + len(waiting),
        stored.children + sum(row["parent_jti"] == key.parent for row in waiting),
    )


def read_sizes(connection: Connection, keys: Sequence[TreeKey]) -> dict[TreeKey, TreeSize]:
    """Return how large the trees are in the database."""
    found = {}
    for start in range(0, len(keys), MOST_KEYS):
        # A row tells the place of its key in its own statement.
        some = keys[start : start + MOST_KEYS]
        for row in _COUNT.rows(connection, [_asked(key) for key in some]):
            if row.number < len(some):
                found[some[row.number]] = TreeSize(row.tokens, row.children)
    return found


def _asked(key: TreeKey) -> dict[str, Any]:
    return {
        "tenant": key.tenant_id,
        "first": key.root,
        "beyond": key.root[:-1] + chr(ord("/") + 1),
        "parent": key.parent,
        "at": key.now,
    }
