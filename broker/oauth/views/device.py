"""The pages of the device flow: type the code, see whose it is, decide, and go back to the device."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.agents.snapshot import load_agents
from broker.federation.attempts import forget_attempts, take_attempt
from broker.kernel.errors import ErrorCode, Refusal
from broker.oauth.authorize import Visit
from broker.oauth.device import begin_decision, gone, take_answer
from broker.oauth.params import parse_pairs
from broker.oauth.views.protocol import read_query
from broker.tokens.device_codes import find_by_user_code
from broker.web.browser import ensure_browser_secret
from broker.web.current import call_context, runtime, tenant
from broker.web.onward import lead_to, see_other
from broker.web.pages import tenant_blueprint
from broker.web.sessions import find_signed_in, person, sign_in_path

blueprint = tenant_blueprint("device", __name__)


@blueprint.before_request
def require_offer() -> ResponseReturnValue | None:
    """Show nothing where the tenant does not offer the flow; strangers sign in before they type a code."""
    if not tenant().settings.device_flow:
        raise Refusal(ErrorCode.NOT_FOUND, "There is no such page.", reason="device_off")
    if find_signed_in("person") is None:
        typed = request.args.get("user_code", "")[:20]
        path = url_for("device.enter", tenant=tenant().slug)
        return see_other(sign_in_path(f"{path}?user_code={typed}" if typed else path))
    return None


@blueprint.get("/device", endpoint="enter")
def enter() -> ResponseReturnValue:
    """Ask for the code that the device shows."""
    ensure_browser_secret()
    return render_template("device/enter.html", typed=request.args.get("user_code", "")[:20], problem="")


@blueprint.post("/device", endpoint="look")
def look() -> ResponseReturnValue:
    """Say which application asks and from where, before anything can be allowed."""
    rt, here, ctx = runtime(), tenant(), call_context()
    typed = request.form.get("user_code", "")[:40]
    # Without this: whoever is signed in could try codes until one of somebody's device fits (O56).
    attempt = take_attempt(rt, here.id, "device", person().user_id or "", ctx.ip, ctx.now)
    with rt.database.core_read() as core:
        found = find_by_user_code(core, rt, here.id, typed, ctx.now)
    if found is None:
        problem = "No device waits with this code. Check it, or have the device show a new one."
        return render_template("device/enter.html", typed=typed[:20], problem=problem), 400
    forget_attempts(rt, attempt, ctx.now)
    agents = load_agents(rt, here.id)
    client = agents.client(found.client_id)
    agent = agents.agent_of(client) if client else None
    if agent is None:
        raise gone()
    return render_template("device/confirm.html", agent_name=agent.name, device=found, typed=typed[:20])


@blueprint.post("/device/confirm", endpoint="confirm")
def confirm() -> ResponseReturnValue:
    """Go on to the consent page for the device's request."""
    return lead_to(begin_decision(_visit(), request.form.get("device", "")[:40]).location)


@blueprint.get("/device/done", endpoint="done")
def done() -> ResponseReturnValue:
    """Write down what was decided and send the person back to the device."""
    is_allowed = take_answer(_visit(), parse_pairs(read_query()))
    return render_template("device/done.html", is_allowed=is_allowed)


def _visit() -> Visit:
    return Visit(runtime(), tenant(), call_context(), ensure_browser_secret(), person().session)
