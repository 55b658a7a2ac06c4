"""How many tokens may hang on one token and in one tree at a time (protocols §6.3)."""

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.tokens.trees import count_tree


def require_room(tx: Transaction, call: Call, basis: Basis) -> None:
    """Raise ``Refusal(actor_unauthorized)`` when the parent or its tree has too many live tokens.

    Without this: one captured token could be multiplied without end, and no page could show what hangs
    on it.
    """
    if basis.parent_jti is None:
        return
    size = count_tree(tx, call.tenant.id, basis.parent_path, basis.parent_jti, call.ctx.now)
    if size.children >= call.tenant.settings.fan_out:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "Too many tokens hang on this one.", reason="fan_out")
    if size.tokens >= call.tenant.settings.tree_limit:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This tree has too many tokens.", reason="tree_limit")
