"""Other parties: who takes what we issue, and whose word counts here."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin import trusts
from broker.admin.views.gate import blueprint, desk, done_id
from broker.kernel.errors import Refusal
from broker.web.onward import see_other


@blueprint.get("/admin/trusts", endpoint="trusts")
def show_trusts() -> ResponseReturnValue:
    """Show all other parties."""
    return render_template("admin/trusts.html", **trusts.trusts_context(desk(), done_id()))


@blueprint.get("/admin/trusts/new", endpoint="new_trust")
def new_trust() -> ResponseReturnValue:
    """Show the empty form of one kind."""
    kind = request.args.get("kind", "")
    return render_template("admin/trust.html", **trusts.trust_form_context(desk(), "", kind))


@blueprint.get("/admin/trusts/<trust_id>", endpoint="trust")
def show_trust(trust_id: str) -> ResponseReturnValue:
    """Show one other party in its form."""
    return render_template("admin/trust.html", **trusts.trust_form_context(desk(), trust_id, ""))


@blueprint.post("/admin/trusts", endpoint="put_trust")
def put_trust() -> ResponseReturnValue:
    """Make or change another party; a form that cannot be saved is shown again as it was."""
    here, form, kind = desk(), request.form, request.form.get("kind", "")
    lists = {name: form.getlist(name) for name in ("algorithms", "outputs")}
    try:
        trusts.put_trust(here, kind, form, lists)
    except Refusal as refusal:
        if not trusts.is_about_the_form(refusal):
            raise
        typed = {**form.to_dict(), **lists}
        context = trusts.refused_form(here, kind, typed, refusal)
        return render_template("admin/trust.html", **context), 400
    return _back()


@blueprint.post("/admin/trusts/<trust_id>/switch", endpoint="switch_trust")
def switch_trust(trust_id: str) -> ResponseReturnValue:
    """Switch another party off or on, or remove it."""
    trusts.switch_trust(desk(), trust_id, request.form.get("action", ""))
    return _back()


def _back() -> ResponseReturnValue:
    here = desk()
    return see_other(url_for("admin.trusts", tenant=here.tenant.slug, done=here.ctx.request_id))
