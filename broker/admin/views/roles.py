"""Roles and the rules that give them."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin import roles
from broker.admin.views.gate import blueprint, desk, done_id
from broker.web.onward import see_other


@blueprint.get("/admin/roles", endpoint="roles")
def show_roles() -> ResponseReturnValue:
    """Show which groups give which roles, and which scopes those carry."""
    return render_template("admin/roles.html", **roles.roles_context(desk(), done_id()))


@blueprint.post("/admin/roles", endpoint="put_role")
def put_role() -> ResponseReturnValue:
    """Make or change a role."""
    form = request.form
    roles.put_role(desk(), form.get("name", ""), form.get("description", ""), form.get("scopes", ""))
    return _back()


@blueprint.post("/admin/roles/<role_id>/remove", endpoint="remove_role")
def remove_role(role_id: str) -> ResponseReturnValue:
    """Remove a role with its rules."""
    roles.remove_role(desk(), role_id)
    return _back()


@blueprint.post("/admin/rules", endpoint="add_rule")
def add_rule() -> ResponseReturnValue:
    """Make a rule from group to role, or change one."""
    names = ("rule_id", "connection_id", "kind", "match", "pattern", "role")
    roles.save_rule(desk(), *(request.form.get(name, "") for name in names))
    return _back()


@blueprint.post("/admin/rules/<rule_id>/remove", endpoint="remove_rule")
def remove_rule(rule_id: str) -> ResponseReturnValue:
    """Remove a rule from group to role."""
    roles.remove_rule(desk(), rule_id)
    return _back()


def _back() -> ResponseReturnValue:
    here = desk()
    return see_other(url_for("admin.roles", tenant=here.tenant.slug, done=here.ctx.request_id))
