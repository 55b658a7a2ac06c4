"""What follows from a person's groups, and what a rule would change before it is saved."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from broker.admin.role_preview import find_people, preview_context
from broker.admin.rule_trial import rule_context
from broker.admin.views.gate import blueprint, desk


@blueprint.get("/admin/roles/preview", endpoint="find_role_preview")
def choose_person() -> ResponseReturnValue:
    """Offer people whose groups can be followed."""
    q = request.args.get("q", "")[:100]
    return render_template("admin/role_preview_choice.html", people=find_people(desk(), q), q=q)


@blueprint.get("/admin/people/<user_id>/roles", endpoint="role_preview")
def show_preview(user_id: str) -> ResponseReturnValue:
    """Show groups, rules, roles and scopes of one person."""
    return render_template("admin/role_preview.html", **preview_context(desk(), user_id))


@blueprint.get("/admin/rules", endpoint="rule")
def show_rule() -> ResponseReturnValue:
    """Show a new or existing rule, prefilled by the address, and what saving or removing it would change."""
    given = {name: value for name, value in request.args.items() if len(value) <= 500}
    return render_template("admin/rule.html", **rule_context(desk(), given, request.args.get("try", "")))
