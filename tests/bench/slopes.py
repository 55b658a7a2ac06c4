"""How the cost of an exchange grows with what the database holds: tenants, and tokens that live.

In one process, sixteen requests at a time, CPU time of the whole process. The costs of growing sizes are
fitted by a line between logarithms: its slope is 0 where size does not matter and 1 where all is walked.
"""

import hashlib
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, select

from broker.agents.models import Agent, Client, Resource
from broker.directory.models import Role
from broker.kernel.models import StateVersion
from broker.tenants.models import Tenant
from broker.tokens.keys import create_key
from broker.tokens.models import IssuedToken
from tests.builders.oauth import ACCESS_TOKEN, Scene
from tests.builders.served_world import open_served_world
from tests.builders.world import TICKETS, TOKEN_EXCHANGE

TENANTS = (10, 100, 1_000, 10_000)
TOKENS = (1_000, 10_000, 100_000, 1_000_000)
GATES = {"tenants": 0.10, "live tokens": 0.15}
REQUESTS = 1_000
REPEATS = 3
USES = 20
"""How many tokens hang on one subject token; a tenant's limit is not far above."""

THREADS = 16
CHUNK = 5_000
SECONDS = 3_600
COPIED: tuple[Any, ...] = (Agent, Resource, Client, Role)


def measure(folder: Path, tell: Callable[[str], None], *, is_quick: bool = False) -> dict[str, Any]:
    """Return for each dimension the seconds of CPU an exchange costs at each size, and the slope."""
    sizes = {"tenants": TENANTS, "live tokens": TOKENS}
    found = {}
    for name, grow in (("tenants", _with_tenants), ("live tokens", _with_tokens)):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        costs = {}
        with open_served_world(f"sqlite:///{place / 'broker.db'}", place, 1) as world:
            scene = Scene(world)
            for size in sizes[name][: 2 if is_quick else None]:
                tell(f"{size:,} {name}")
                costs[size] = _cost(scene, grow(scene, size), 100 if is_quick else REQUESTS)
        found[name] = {"seconds": costs, "slope": slope(costs)}
    return found


def slope(costs: dict[int, float]) -> float:
    """Return the slope of the line through the logarithms, by least squares."""
    points = [(math.log(size), math.log(cost)) for size, cost in costs.items()]
    x0, y0 = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - x0) * (y - y0) for x, y in points) / sum((x - x0) ** 2 for x, _ in points)


def lines(found: dict[str, Any]) -> list[str]:
    """What was found, for people."""
    shown = ["", "CPU of an exchange as the database grows"]
    for name, one in found.items():
        costs = ", ".join(f"{size:,}: {cost * 1e6:,.0f} us" for size, cost in one["seconds"].items())
        shown.append(f"  {name}: slope {one['slope']:.3f} ({costs})")
    return shown


def missed(found: dict[str, Any]) -> list[str]:
    """Which slopes are steeper than promised."""
    return [
        f"an exchange costs more with more {name}: slope {one['slope']:.3f}, above {GATES[name]:g}"
        for name, one in found.items()
        if one["slope"] > GATES[name]
    ]


def _cost(scene: Scene, slugs: Sequence[str], requests: int) -> float:
    """Return the least of some means, in CPU-seconds: what else the machine does only adds."""
    drawn = random.Random(1)
    means = []
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(REPEATS):
            # Few tenants ask often and many seldom.
            weights = [1 / rank**1.1 for rank in range(1, len(slugs) + 1)]
            asking = drawn.choices(slugs, weights, k=requests)
            firsts = list(pool.map(lambda slug: _first_token(scene, slug), _subjects(asking)))
            waiting: dict[str, list[str]] = {}
            for slug, token in firsts:
                waiting.setdefault(slug, []).extend([token] * USES)
            work = [(slug, waiting[slug].pop()) for slug in asking]
            started = time.process_time()
            list(pool.map(lambda one: _exchange(scene, *one), work))
            means.append((time.process_time() - started) / requests)
    return min(means)


def _subjects(asking: Sequence[str]) -> Iterator[str]:
    """Yield each tenant as often as it needs another subject token."""
    for slug in dict.fromkeys(asking):
        yield from [slug] * math.ceil(asking.count(slug) / USES)


def _first_token(scene: Scene, slug: str) -> tuple[str, str]:
    params = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
    return slug, scene.call("token", params, client="cli_a", slug=slug).token


def _exchange(scene: Scene, slug: str, subject: str) -> None:
    params = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "scope": "tickets:read",
    }
    answer = scene.call("token", params, client="cli_a", slug=slug)
    assert answer.status == 200, answer.json


def _with_tenants(scene: Scene, size: int) -> list[str]:
    """Copy the scene's tenant until there are ``size``, each with keys of its own; return their names."""
    rt = scene.world.rt
    with rt.database.core_write() as connection:
        names = list(connection.execute(select(Tenant.slug).order_by(Tenant.created_at)).scalars())
        model = (
            connection.execute(select(Tenant.__table__).where(Tenant.id == scene.tenant.id)).mappings().one()
        )
        ids = [f"ten_copy{number}" for number in range(len(names), size)]
        rows = [{**model, "id": one, "slug": one.replace("_", "-")} for one in ids]
        for some in _batched(rows, CHUNK):
            connection.execute(insert(Tenant), some)
            connection.execute(insert(StateVersion), [{"tenant_id": one["id"], "version": 1} for one in some])
        for kind in COPIED:
            _copy(connection, kind.__table__, scene.tenant.id, ids)
        for one in ids:
            create_key(connection, rt, one, now=scene.world.now)
    return [*names, *(row["slug"] for row in rows)]


def _batched(items: Iterable[Any], count: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def _copy(connection: Any, table: Table, model: str, tenants: Sequence[str]) -> None:
    """Copy the rows of one tenant to others; ids get the number of the copy."""
    rows = [
        dict(row) for row in connection.execute(select(table).where(table.c.tenant_id == model)).mappings()
    ]
    for some in _batched(tenants, CHUNK // 10):
        copies = [
            {
                name: tenant if name == "tenant_id" else _renamed(name, value, tenant)
                for name, value in row.items()
            }
            for tenant in some
            for row in rows
        ]
        connection.execute(insert(table), copies)


def _renamed(column: str, value: Any, tenant: str) -> Any:
    is_id = column in {"id", "agent_id", "resource_id"} and value is not None
    return f"{value}{tenant.removeprefix('ten_copy')}" if is_id else value


def _with_tokens(scene: Scene, size: int) -> list[str]:
    """Fill up the issued tokens of the tenant to ``size`` that live."""
    _first_token(scene, scene.slug)
    table: Table = IssuedToken.__table__  # type: ignore[assignment]
    with scene.world.rt.database.core_write() as connection:
        model = connection.execute(select(table).limit(1)).mappings().one()
        held = connection.execute(select(func.count()).select_from(table)).scalar_one()
        for numbers in _batched(range(held, size), CHUNK):
            connection.execute(insert(table), [_filler(model, number) for number in numbers])
    return [scene.slug]


def _filler(model: Any, number: int) -> dict[str, Any]:
    name = hashlib.sha256(str(number).encode()).hexdigest()[:20]
    return {
        **model,
        "jti": f"at_{name}",
        "path": f"/at_{name}/",
        "grant_id": f"gra_{name}",
        "expires_at": model["expires_at"] + SECONDS,
    }
