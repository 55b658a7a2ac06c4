"""How many tokens may hang on one token, below each other and in one tree at a time (protocols §6.3)."""

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.tokens.models import MAX_LEVELS
from broker.tokens.trees import TreeKey, count_tree


def require_room(tx: Transaction, call: Call, basis: Basis) -> None:
    """Raise ``Refusal(actor_unauthorized)`` when the parent, its line or its tree has too many tokens.

    Without this: one captured token could be multiplied without end, and no page could show what hangs
    on it. An agent that narrows its own token goes no deeper, so the depth does not bound its line.
    """
    if basis.parent_jti is None:
        return
    if basis.parent_path.count("/") > MAX_LEVELS:
        raise Refusal(
            ErrorCode.ACTOR_UNAUTHORIZED, "This token was narrowed too many times.", reason="levels"
        )
    root = basis.parent_path[: basis.parent_path.index("/", 1) + 1]
    size = count_tree(tx, TreeKey(call.tenant.id, root, basis.parent_jti, call.ctx.now))
    if size.children >= call.tenant.settings.fan_out:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "Too many tokens hang on this one.", reason="fan_out")
    if size.tokens >= call.tenant.settings.tree_limit:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This tree has too many tokens.", reason="tree_limit")
