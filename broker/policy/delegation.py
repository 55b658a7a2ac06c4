"""Who may join an actor chain, and what the chain looks like afterwards (protocols §3.8, §6.3)."""

from broker.policy.values import Actor, Chain, Denial

# One sentence for every refusal of an actor: a caller learns nothing about other agents (protocols ACT-13).
_ACTOR_REFUSED = "This agent may not act here."


def is_continuation(chain: Chain, actor: Actor) -> bool:
    """Say whether `actor` is already the outermost member, so that the chain stays as it is."""
    return bool(chain) and chain[0].is_same_as(actor)


def depth_after(chain: Chain, actor: Actor | None, *, depth: int) -> int:
    """Return the depth of the result; depth is counted on the result, not the input (protocols ACT-04).

    A stored `depth` below the length of the chain is not believed.
    """
    # Without this: a parent whose recorded depth is too small buys extra hops.
    current = max(depth, len(chain))
    return current if actor is None or is_continuation(chain, actor) else current + 1


def extend_chain(chain: Chain, actor: Actor | None) -> Chain:
    """Return the chain with `actor` outermost; inner members are never rewritten (protocols ACT-03)."""
    return chain if actor is None or is_continuation(chain, actor) else (actor, *chain)


def may_extend(
    chain: Chain,
    actor: Actor | None,
    *,
    depth: int,
    max_depth: int,
    delegable: bool,
    delegable_to: frozenset[str],
) -> Denial | None:
    """Return why `actor` may not act on this chain, or None when it may (protocols §6.2, §6.3).

    Args: `chain`, `depth`, `delegable` and `delegable_to` describe the parent; `max_depth` is the smallest of
    all limits that apply. No actor, or the outermost one again, leaves the chain as it is and needs no right
    to delegate.
    """
    if actor is not None and not is_continuation(chain, actor):
        # Without this: A hands to B and B hands back to A, so that the chain hides who decided (A06, A07).
        if any(member.is_same_as(actor) for member in chain):
            return Denial("actor_unauthorized", "actor_cycle", _ACTOR_REFUSED)
        # Without this: a token that was given for one agent's own use is passed on.
        if not delegable:
            return Denial("actor_unauthorized", "not_delegable", _ACTOR_REFUSED)
        # Without this: any registered agent that gets hold of a token joins the chain (A06, actor swap).
        if actor.id not in delegable_to:
            return Denial("actor_unauthorized", "actor_not_listed", _ACTOR_REFUSED)
    if depth_after(chain, actor, depth=depth) > max_depth:
        return Denial("invalid_request", "too_deep", "The delegation chain would be too long.")
    return None
