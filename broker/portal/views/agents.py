"""The pages of the person who is signed in: their agents, one agent, and revoking it."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from broker.agents.snapshot import load_agents
from broker.portal.history import draw_longest_chain, list_moments
from broker.portal.my_agents import (
    USE_SECONDS,
    agent_words,
    get_my_agent,
    list_context,
    list_my_agents,
    permission_groups,
)
from broker.portal.my_tasks import end_my_task, list_my_tasks
from broker.portal.revoking import find_receipt, revoke_agent
from broker.tokens.reading import list_tokens, tokens_for
from broker.web.current import call_context, runtime, tenant
from broker.web.onward import see_other
from broker.web.pages import tenant_blueprint
from broker.web.sessions import person
from broker.web.token_trees import draw_forest

blueprint = tenant_blueprint("portal", __name__)


@blueprint.get("/me/agents")
@login_required
def agents() -> ResponseReturnValue:
    """Show the agents that act for the person."""
    rt, here, now = runtime(), tenant(), call_context().now
    user_id = person().user_id or ""
    with rt.database.read(here.id) as session:
        mine = list_my_agents(session, rt, here, user_id, now)
        receipt = None
        if agent_id := request.args.get("agent", ""):
            chosen = get_my_agent(session, rt, here, user_id, agent_id, now)
            receipt = find_receipt(session, here.id, user_id, chosen, request.args.get("done", ""), now)
    context = list_context(mine, here, load_agents(rt, here.id), now)
    return render_template("portal/agents.html", receipt=receipt, **context)


@blueprint.get("/me/agents/<agent_id>")
@login_required
def agent(agent_id: str) -> ResponseReturnValue:
    """Show one agent of the person's own: permissions, tokens, history."""
    rt, here, now = runtime(), tenant(), call_context().now
    user_id, known = person().user_id or "", load_agents(rt, here.id)
    with rt.database.read(here.id) as session:
        mine = get_my_agent(session, rt, here, user_id, agent_id, now)
        core = session.connection()
        tokens = list_tokens(core, here.id, tokens_for(user_id, agent_id, here.id), since=now - USE_SECONDS)
        tasks = list_my_tasks(core, here.id, user_id, agent_id, now)
        moments = list_moments(core, here, known, user_id, mine)
    return render_template(
        "portal/agent.html",
        agent=agent_words(mine, here, known, now),
        permissions=permission_groups(mine, here, known),
        chain_svg=draw_longest_chain(tokens, here, known, now),
        tokens=draw_forest(tokens, tenant=here, agents=known, now=now),
        history=moments,
        tasks=tasks,
        receipt=None,
    )


@blueprint.post("/me/agents/<agent_id>/end-task")
@login_required
def end_task(agent_id: str) -> ResponseReturnValue:
    """End one task that an agent began for the person."""
    rt, here, ctx = runtime(), tenant(), call_context()
    user_id, task_id = person().user_id or "", request.form.get("task_id", "")[:40]
    with rt.database.write(here.id) as session:
        get_my_agent(session, rt, here, user_id, agent_id, ctx.now)
        end_my_task(session, rt, here.id, user_id, agent_id, task_id, ctx)
    return see_other(url_for("portal.agent", tenant=here.slug, agent_id=agent_id))


@blueprint.post("/me/agents/<agent_id>/revoke")
@login_required
def revoke(agent_id: str) -> ResponseReturnValue:
    """End what the person allowed one agent of their own."""
    rt, here, ctx = runtime(), tenant(), call_context()
    user_id = person().user_id or ""
    with rt.database.write(here.id) as session:
        mine = get_my_agent(session, rt, here, user_id, agent_id, ctx.now)
        revoke_agent(session, rt, here.id, user_id, mine, ctx)
    return see_other(url_for("portal.agents", tenant=here.slug, agent=agent_id, done=ctx.request_id))
