"""Pushed people whom no rule matched: the list, one record beside who signs in, joining, taking it back."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin import joining
from broker.admin.views.gate import blueprint, desk, done_id, page_url
from broker.web.onward import see_other

_PAGE = "/admin/connections/<connection_id>/scim/people"
_PERSON = f"{_PAGE}/<person_id>"


@blueprint.get(_PAGE, endpoint="pushed_people")
def list_people(connection_id: str) -> ResponseReturnValue:
    """Show pushed people of one kind, with a search."""
    here, args = desk(), request.args
    text, after = args.get("q", "").strip()[:200], args.get("after", "")[:40]
    context = joining.people_context(here, connection_id, args.get("kind", ""), text, after)
    where = {"tenant": here.tenant.slug, "connection_id": connection_id, **context["filters"]}
    following = context.pop("next_after")
    return render_template(
        "admin/pushed_people.html",
        newer_url=page_url("admin.pushed_people", **where) if after else "",
        older_url=page_url("admin.pushed_people", after=following, **where) if following else "",
        **context,
    )


@blueprint.get(_PERSON, endpoint="pushed_person")
def show_person(connection_id: str, person_id: str) -> ResponseReturnValue:
    """Show one record; with ``user`` in the address, both sides before they are joined."""
    text, user_id = request.args.get("q", "").strip()[:200], request.args.get("user", "")[:40]
    context = joining.person_context(desk(), connection_id, person_id, text, user_id, done_id())
    return render_template("admin/pushed_person.html", **context)


@blueprint.post(_PERSON, endpoint="join_person")
def join_person(connection_id: str, person_id: str) -> ResponseReturnValue:
    """Join a record with the user whom the form names."""
    joining.join_people(desk(), connection_id, person_id, request.form.get("user_id", "")[:40])
    return _back(connection_id, person_id)


@blueprint.post(f"{_PERSON}/separate", endpoint="separate_person")
def separate_person(connection_id: str, person_id: str) -> ResponseReturnValue:
    """Take a joining by hand back."""
    joining.separate_people(desk(), connection_id, person_id)
    return _back(connection_id, person_id)


def _back(connection_id: str, person_id: str) -> ResponseReturnValue:
    here = desk()
    return see_other(
        url_for(
            "admin.pushed_person",
            tenant=here.tenant.slug,
            connection_id=connection_id,
            person_id=person_id,
            done=here.ctx.request_id,
        )
    )
