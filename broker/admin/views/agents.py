"""Agents: the list, one agent, and what can be done to it."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.agent_actions import act_on_agent, find_receipt, revoke_subtree
from broker.admin.agent_tasks import end_task_of
from broker.admin.agents import STATES, AgentFilter, agent_context, list_agents
from broker.admin.views.gate import blueprint, desk, done_id, page_url
from broker.web.onward import see_other


@blueprint.get("/admin/agents", endpoint="agents")
def show_agents() -> ResponseReturnValue:
    """Show the tenant's agents that fit the filter."""
    here = desk()
    state = request.args.get("state", "")
    wanted = AgentFilter(q=request.args.get("q", "")[:100], state=state if state in STATES else "")
    after = request.args.get("after", "")
    page, rows = list_agents(here, wanted, after)
    filters = {"q": wanted.q, "state": wanted.state}
    return render_template(
        "admin/agents.html",
        agents=rows,
        filters=filters,
        total=page.total,
        newer_url=page_url("admin.agents", tenant=here.tenant.slug, **filters) if after else "",
        older_url=_next_url(here.tenant.slug, filters, page.next_after),
    )


@blueprint.get("/admin/agents/<agent_id>", endpoint="agent")
def show_agent(agent_id: str) -> ResponseReturnValue:
    """Show one agent with everything that it holds."""
    here = desk()
    context = agent_context(here, agent_id)
    return render_template("admin/agent.html", receipt=find_receipt(here, agent_id, done_id()), **context)


@blueprint.post("/admin/agents/<agent_id>", endpoint="agent_action")
def change_agent(agent_id: str) -> ResponseReturnValue:
    """Kill, suspend or revive an agent."""
    here = desk()
    act_on_agent(here, agent_id, request.form.get("action", ""), request.form.get("reason", ""))
    return _back(agent_id)


@blueprint.post("/admin/agents/<agent_id>/revoke", endpoint="revoke_token")
def revoke_token(agent_id: str) -> ResponseReturnValue:
    """Revoke one token of an agent's page, with everything that was derived from it."""
    revoke_subtree(desk(), agent_id, request.form.get("jti", "")[:40])
    return _back(agent_id)


@blueprint.post("/admin/agents/<agent_id>/end-task", endpoint="end_task")
def end_task(agent_id: str) -> ResponseReturnValue:
    """End one task of the agent, with every token in it."""
    end_task_of(desk(), agent_id, request.form.get("task_id", "")[:40])
    return _back(agent_id)


def _back(agent_id: str) -> ResponseReturnValue:
    here = desk()
    done = here.ctx.request_id
    return see_other(url_for("admin.agent", tenant=here.tenant.slug, agent_id=agent_id, done=done))


def _next_url(slug: str, filters: dict[str, str], after: str) -> str:
    return page_url("admin.agents", tenant=slug, after=after, **filters) if after else ""
