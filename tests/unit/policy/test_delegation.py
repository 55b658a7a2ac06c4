"""Who may join an actor chain (A06; protocols §3.8, §6.3)."""

from typing import Any

import pytest

from broker.policy.delegation import depth_after, extend_chain, is_continuation, may_extend
from broker.policy.values import Actor, Denial

ISSUER = "https://broker.example/t/acme"
A, B, C = (Actor(ISSUER, f"agt_{name}") for name in "abc")
ANYONE = frozenset({"agt_a", "agt_b", "agt_c"})


def ask(chain: tuple[Actor, ...], actor: Actor | None, **overrides: Any) -> Denial | None:
    facts: dict[str, Any] = {
        "depth": len(chain),
        "max_depth": 4,
        "delegable": True,
        "delegable_to": ANYONE,
    }
    return may_extend(chain, actor, **(facts | overrides))


def reason(denial: Denial | None) -> tuple[str, str] | None:
    return (denial.code, denial.reason) if denial else None


@pytest.mark.parametrize(
    ("chain", "actor"),
    [
        pytest.param((), A, id="first-actor"),
        pytest.param((A,), B, id="second-actor"),
        pytest.param((B, A), C, id="third-actor"),
        pytest.param((A,), A, id="same-as-outermost"),
        pytest.param((A,), None, id="nobody-joins"),
    ],
)
def test_a_listed_actor_may_join(chain: tuple[Actor, ...], actor: Actor | None) -> None:
    assert ask(chain, actor) is None


@pytest.mark.parametrize(
    ("chain", "actor", "overrides", "expected"),
    [
        pytest.param((B, A), A, {}, ("actor_unauthorized", "actor_cycle"), id="A06-cycle"),
        pytest.param(
            (B, A), Actor(ISSUER, "agt_a", "service"), {}, ("actor_unauthorized", "actor_cycle"),
            id="A06-cycle-under-another-profile",
        ),
        pytest.param(
            (A,), B, {"delegable": False}, ("actor_unauthorized", "not_delegable"), id="not-delegable"
        ),
        pytest.param(
            (A,), C, {"delegable_to": frozenset({"agt_b"})}, ("actor_unauthorized", "actor_not_listed"),
            id="A06-actor-swap",
        ),
        pytest.param(
            (A,), B, {"delegable_to": frozenset()}, ("actor_unauthorized", "actor_not_listed"),
            id="A06-empty-list-is-nobody",
        ),
        pytest.param((A,), B, {"max_depth": 1}, ("invalid_request", "too_deep"), id="A06-depth"),
        pytest.param((A,), None, {"max_depth": 0}, ("invalid_request", "too_deep"), id="A06-depth-lowered"),
        pytest.param((B, A), C, {"depth": 0, "max_depth": 2}, ("invalid_request", "too_deep"),
                     id="A06-depth-understated"),
        pytest.param((A,), B, {"depth": 7}, ("invalid_request", "too_deep"), id="A06-depth-recorded"),
    ],
)  # fmt: skip
def test_everybody_else_is_refused(
    chain: tuple[Actor, ...], actor: Actor | None, overrides: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert reason(ask(chain, actor, **overrides)) == expected


def test_the_refusals_of_an_actor_read_the_same() -> None:
    refusals = [ask((B, A), A), ask((A,), B, delegable=False), ask((A,), B, delegable_to=frozenset())]
    assert len({refusal.public for refusal in refusals if refusal}) == 1


def test_the_outermost_actor_continues_without_the_right_to_delegate() -> None:
    assert ask((B, A), B, delegable=False, delegable_to=frozenset(), max_depth=2) is None


def test_an_actor_of_another_issuer_is_another_actor() -> None:
    foreign = Actor("https://other.example", "agt_a")
    assert not is_continuation((A,), foreign)
    assert is_continuation((A,), Actor(ISSUER, "agt_a", "service"))
    assert not is_continuation((), A)


def test_extending_adds_one_outermost_member_and_keeps_the_rest() -> None:
    chain = (B, A)
    assert extend_chain(chain, C) == (C, B, A)
    assert extend_chain(chain, C)[1:] == chain
    assert extend_chain(chain, B) is chain
    assert extend_chain(chain, None) is chain


def test_depth_counts_the_result() -> None:
    assert depth_after((), None, depth=0) == 0
    assert depth_after((), A, depth=0) == 1
    assert depth_after((A,), B, depth=1) == 2
    assert depth_after((A,), A, depth=1) == 1
    assert depth_after((B, A), C, depth=0) == 3
