"""People: the list, one person, and what can be done to them."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.people import STATES, PeopleFilter, list_people
from broker.admin.person import person_context
from broker.admin.person_actions import act_on_person, find_receipt
from broker.admin.views.gate import blueprint, desk, done_id, page_url
from broker.web.onward import see_other


@blueprint.get("/admin/people", endpoint="people")
def show_people() -> ResponseReturnValue:
    """Show the tenant's people that fit the filter."""
    here = desk()
    state = request.args.get("state", "")
    wanted = PeopleFilter(q=request.args.get("q", "")[:100], state=state if state in STATES else "")
    after = request.args.get("after", "")
    page = list_people(here, wanted, after)
    filters = {"q": wanted.q, "state": wanted.state}
    slug = here.tenant.slug
    return render_template(
        "admin/people.html",
        people=page.items,
        filters=filters,
        total=page.total,
        newer_url=page_url("admin.people", tenant=slug, **filters) if after else "",
        older_url=(
            page_url("admin.people", tenant=slug, after=page.next_after, **filters) if page.next_after else ""
        ),
    )


@blueprint.get("/admin/people/<user_id>", endpoint="person")
def show_person(user_id: str) -> ResponseReturnValue:
    """Show one person: facts, roles and why, sessions, grants."""
    here = desk()
    context = person_context(here, user_id)
    return render_template("admin/person.html", receipt=find_receipt(here, user_id, done_id()), **context)


@blueprint.post("/admin/people/<user_id>", endpoint="person_action")
def change_person(user_id: str) -> ResponseReturnValue:
    """End a person's sessions, disable or enable them."""
    here = desk()
    act_on_person(here, user_id, request.form.get("action", ""))
    done = here.ctx.request_id
    return see_other(url_for("admin.person", tenant=here.tenant.slug, user_id=user_id, done=done))
