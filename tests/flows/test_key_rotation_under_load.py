"""Keys change under load and no verifier that honours the max-age refuses a token that is valid (F12)."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.audit.log import ActorRef
from broker.audit.models import AuditRecord
from broker.tokens.key_rotation import MARGIN_SECONDS, advance_keys, rotate_key
from broker.tokens.keys import public_jwks
from tests.builders.key_load import API, CLIENT, LIFE_SECONDS, FastClock, Presenter, mint, verifier_of
from tests.builders.oauth import Scene
from tests.builders.world import NOW, open_world

MAX_AGE = 5
LEAD = MAX_AGE + MARGIN_SECONDS
OPERATOR = ActorRef("operator", "test")

NODES = 3
RATE = 25.0
ROTATIONS = 50
ROTATION_SECONDS = 80
VERIFICATIONS = 1_000_000
MOST_SECONDS = 2400  # it takes two processors three minutes; a machine that is shared takes longer


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    with open_world(database_url, tmp_path) as world:
        settings = {
            "jwks_max_age_seconds": MAX_AGE,
            "access_ttl_seconds": LIFE_SECONDS,
            "key_rotation_days": 0,
        }
        scene = Scene(world, settings=settings)
        scopes = {"load:run": {"description": "Run", "effect": "read"}}
        world.resource(scene.tenant, API, scopes=scopes, ttl_seconds=LIFE_SECONDS)
        agent = world.agent(
            scene.tenant, "load", scopes=["load:run"], resources=[API], ttl_seconds=LIFE_SECONDS
        )
        world.client(scene.tenant, CLIENT, agent=agent, scopes=["load:run"])
        yield scene


def rotate(scene: Scene, *, at_once: bool = False) -> str:
    (kid,) = rotate_key(scene.world.rt, scene.tenant, ctx=scene.world.ctx, actor=OPERATOR, at_once=at_once)
    return kid


def rotate_as_of(scene: Scene, now: int) -> str:
    scene.world.clock.advance(now - scene.world.now)
    return rotate(scene)


def run_through(scene: Scene, rotations: int, *, at_once: bool = False) -> tuple[Counter[str], set[str]]:
    """Change the key so often, with verifiers that began at different moments; one clock, moved by hand."""
    clock, rt = scene.world.clock, scene.world.rt
    presenters: list[Presenter] = []
    kids: set[str] = set()
    for _ in range(rotations):
        rotate(scene, at_once=at_once)
        for _ in range(LEAD + 15):
            clock.advance(1)
            advance_keys(rt)
            if len(presenters) < 5:
                presenters.append(Presenter(verifier_of(rt, clock), clock))
            if clock.now() % 9 == 0:
                token = mint(rt)
                kids |= {str(jwk["kid"]) for jwk in public_jwks(rt, scene.tenant.id)["keys"]}
                for presenter in presenters:
                    presenter.take(token)
            for presenter in presenters:
                if presenter.held:
                    presenter.present(presenter.held[clock.now() % len(presenter.held)])
    counted: Counter[str] = Counter()
    for presenter in presenters:
        counted.update(presenter.counted)
    return counted, kids


def test_no_valid_token_is_refused_while_keys_change(scene: Scene) -> None:
    counted, kids = run_through(scene, 4)
    assert counted["verified"] > 1500
    assert set(counted) == {"verified"}
    assert len(kids) == 5


def test_a_key_that_signs_at_once_is_refused_by_those_who_kept_the_set(scene: Scene) -> None:
    counted, _ = run_through(scene, 2, at_once=True)
    assert counted["refused:unknown_kid"] > 0


@pytest.mark.proof
@pytest.mark.large
def test_fifty_rotations_under_load_and_a_million_verifications(scene: Scene, tmp_path: Path) -> None:
    zero = time.monotonic()
    clock = FastClock(NOW, zero, RATE)
    nodes = [start_node(scene, tmp_path, zero, number) for number in range(NODES)]
    finished, results = threading.Semaphore(0), Counter[str]()
    readers = [
        threading.Thread(target=relay, args=(node, nodes, finished, results), daemon=True) for node in nodes
    ]
    for reader in readers:
        reader.start()
    kids: list[str] = []
    try:
        for number in range(ROTATIONS):
            while clock.now() < NOW + (number + 1) * ROTATION_SECONDS:
                time.sleep(0.05)
            # A key that still waits for its turn is the next one: ask again until it signs.
            while (made := rotate_as_of(scene, clock.now())) in kids:
                time.sleep(0.1)
            kids.append(made)
        for _ in nodes:
            assert finished.acquire(timeout=max(1.0, zero + MOST_SECONDS - time.monotonic()))
    finally:
        for node in nodes:
            assert node.stdin is not None
            node.stdin.close()
        for reader in readers:
            reader.join(timeout=30)
        for node in nodes:
            node.terminate()
            node.wait(timeout=30)
    assert results["verified"] >= VERIFICATIONS
    assert set(results) == {"verified"}
    assert count_events(scene, "key.created") == ROTATIONS
    assert count_events(scene, "key.rotated") >= ROTATIONS - 1
    assert count_events(scene, "key.removed") > 0


def start_node(scene: Scene, folder: Path, zero: float, number: int) -> subprocess.Popen[str]:
    rt = scene.world.rt
    url = rt.database.url.render_as_string(hide_password=False)
    wanted = VERIFICATIONS // NODES + 1
    arguments = [NOW, zero, RATE, url, rt.settings.data_dir, wanted]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.builders.key_load", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / f"node{number}.err").open("w"),
        text=True,
    )


def relay(
    node: subprocess.Popen[str],
    nodes: list[subprocess.Popen[str]],
    finished: threading.Semaphore,
    results: Counter[str],
) -> None:
    """Carry a node's tokens to the others, and its counts to the test."""
    assert node.stdout is not None
    for line in node.stdout:
        word, _, rest = line.strip().partition(" ")
        if word == "token":
            for other in nodes:
                if other is not node:
                    hand_to(other, rest)
        elif word == "done":
            finished.release()
        elif word == "result":
            results.update(json.loads(rest))


_ONE_WRITER = threading.Lock()


def hand_to(node: subprocess.Popen[str], token: str) -> None:
    """Give a token to a node, unless the run is over for it."""
    assert node.stdin is not None
    with _ONE_WRITER, contextlib.suppress(OSError, ValueError):
        node.stdin.write(token + "\n")
        node.stdin.flush()


def count_events(scene: Scene, name: str) -> int:
    with scene.world.rt.database.read(scene.tenant.id) as session:
        return len(session.scalars(select(AuditRecord).where(AuditRecord.event == name)).all())
