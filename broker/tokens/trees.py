"""How large a tree of tokens is, so that one grant cannot grow without bound (protocols §6.3)."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, bindparam, case, func, select

from broker.kernel.group_commit import Transaction
from broker.kernel.prepared import Prepared
from broker.tokens import models
from broker.tokens.issuing import insert_rows

_TABLE = cast(Table, models.IssuedToken.__table__)

# A tree is a range of paths, and the limit keeps it small: the count reads at most that many rows.
_COUNT = Prepared(
    select(
        func.count(),
        func.coalesce(func.sum(case((_TABLE.c.parent_jti == bindparam("parent"), 1), else_=0)), 0),
    ).where(
        _TABLE.c.tenant_id == bindparam("tenant"),
        _TABLE.c.path >= bindparam("first"),
        _TABLE.c.path < bindparam("beyond"),
        _TABLE.c.ended_at.is_(None),
        _TABLE.c.expires_at > bindparam("at"),
    )
)


@dataclass(frozen=True, slots=True)
class TreeSize:
    """Live tokens of a tree, and how many of them are children of one token."""

    tokens: int
    children: int


def count_tree(tx: Transaction, tenant_id: str, path: str, parent_jti: str, now: int) -> TreeSize:
    """Return the size of the tree that holds ``path``, with what this transaction has not written yet.

    Without the latter: exchanges that arrive together would each see room for one more.
    """
    root = path[: path.index("/", 1) + 1]
    values = {
        "tenant": tenant_id,
        "first": root,
        "beyond": root[:-1] + chr(ord("/") + 1),
        "parent": parent_jti,
        "at": now,
    }
    ((tokens, children),) = _COUNT.rows(tx.connection, values)
    waiting = [
        row
        for row in tx.deferred(insert_rows)
        if row["tenant_id"] == tenant_id and row["path"].startswith(root)
    ]
    return TreeSize(tokens + len(waiting), children + sum(row["parent_jti"] == parent_jti for row in waiting))
