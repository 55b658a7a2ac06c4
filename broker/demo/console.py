"""The page that `make demo` opens: six steps from a sign-in to a refused token, each a click."""

import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Flask, redirect, render_template, request, url_for
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from markupsafe import Markup
from werkzeug.wrappers import Response

from broker.agent_client import OAuthRefused
from broker.demo.agents import claims_of, header_of
from broker.demo.people import Person
from broker.demo.story import Story
from broker.resource_server.verifier import read_actor_chain
from broker.web.drawing import ChainEdge, ChainNode, draw_chain, install_drawing
from broker.web.formatting import duration, install_formatting
from broker.web.pages import STATIC_FOLDER, templates_folder

CALLBACK_PATH = "/agents/planner/callback"


class ProviderView(Protocol):
    """What the console says about an identity provider."""

    people: dict[str, Person]
    look: Any


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where things are, for links: the tenant's broker pages, the providers, and names for agents' ids."""

    tenant_slug: str
    tenant_name: str
    tenant_url: str
    setup_link: str
    providers: tuple[ProviderView, ...]
    agent_names: dict[str, str]


class Console:
    """The demo's web page. It serves one person at a time, as a demo on one's own machine does."""

    def __init__(self, story: Story, around: Surroundings) -> None:
        self._story = story
        self._around = around
        self._notice: dict[str, str] | None = None
        self._revoke_opened = False

    def create_app(self) -> Flask:
        """The console as a Flask application."""
        app = Flask(__name__, template_folder=str(templates_folder()), static_folder=str(STATIC_FOLDER))
        app.config.update(
            SECRET_KEY=secrets.token_hex(32),
            SESSION_COOKIE_NAME="demo-console",
            SESSION_COOKIE_SAMESITE="Lax",
            BOOTSTRAP_SERVE_LOCAL=True,
            WTF_CSRF_TIME_LIMIT=None,
        )
        Bootstrap5(app)
        CSRFProtect(app)
        install_drawing(app)
        install_formatting(app, lambda: int(time.time()))
        app.context_processor(self._frame)
        self._add_routes(app)
        return app

    def _add_routes(self, app: Flask) -> None:
        tenant = self._around.tenant_url
        app.add_url_rule("/", "home", self._home)
        app.add_url_rule("/start", "start", self._start, methods=["POST"])
        app.add_url_rule(CALLBACK_PATH, "callback", self._callback)
        app.add_url_rule("/read", "read", self._read, methods=["POST"])
        app.add_url_rule("/hand-over", "hand_over", self._hand_over, methods=["POST"])
        app.add_url_rule("/revoke", "revoke", self._revoke, methods=["POST"])
        app.add_url_rule("/again", "again", self._again, methods=["POST"])
        # The shared frame links to these pages by name; they are the broker's.
        for path, name in (("admin", "admin.overview"), ("me/agents", "portal.agents")):
            app.add_url_rule(f"/t/<tenant>/{path}", name, _to(f"{tenant}/{path}"))

    def _frame(self) -> dict[str, Any]:
        tenant = {"name": self._around.tenant_name, "slug": self._around.tenant_slug}
        return {"current_tenant": tenant, "signed_in": None, "is_development": True}

    def _home(self) -> str:
        notice, self._notice = self._notice, None
        story = self._story
        token = {"header": header_of(story.shown_token), "payload": story.shown_claims()}
        calls = [
            {
                "at": call.at,
                "tool": f"{call.agent}: {call.tool}",
                "outcome": "ok" if call.is_allowed else "refused",
                "detail": call.detail,
            }
            for call in story.calls
        ]
        return render_template(
            "demo/console.html",
            steps=self._steps(),
            token=token if story.shown_token else None,
            chain_svg=self._chain() if story.shown_token else "",
            calls=calls,
            people=[
                _person(provider, one)
                for provider in self._around.providers
                for one in provider.people.values()
            ],
            links=self._links(),
            notice=notice,
        )

    def _steps(self) -> list[dict[str, Any]]:
        story = self._story
        has_read = any(call.tool == "list_tickets" and call.is_allowed for call in story.calls)
        has_written = bool(story.writer_token)
        is_refused = bool(story.calls) and not story.calls[0].is_allowed
        done = [
            bool(story.planner_token),
            bool(story.planner_token),
            has_read,
            has_written,
            self._revoke_opened or is_refused,
            is_refused,
        ]
        now = done.index(False) if False in done else len(done)
        labels = ["Start again" if story.planner_token else "Sign in", "", "Let Planner read",
                  "Hand over and create", "Open your agents", "Let Ticket writer try again"]  # fmt: skip
        targets = ["start", "", "read", "hand_over", "revoke", "again"]
        return [
            {
                "n": index + 1,
                "title": title,
                "text": text,
                "state": "now" if index == now else "done" if done[index] else "later",
                "action": {"label": labels[index], "url": url_for(targets[index]), "method": "post"}
                if targets[index] and index <= max(now, 0)
                else None,
            }
            for index, (title, text) in enumerate(_STEPS)
        ]

    def _links(self) -> list[dict[str, str]]:
        around = self._around
        return [
            {"label": "Become administrator", "url": around.setup_link, "note": "Works once"},
            {
                "label": "Administration",
                "url": f"{around.tenant_url}/admin",
                "note": "For who is in: by the link above, or as Inês Carvalho",
            },
            {
                "label": "What agents discover",
                "url": f"{around.tenant_url}/.well-known/agent-broker-configuration",
                "note": "The document that they need to know nothing before",
            },
        ]

    def _chain(self) -> Markup:
        claims = self._story.shown_claims()
        names = self._around.agent_names
        actors = [names.get(actor.id, actor.id) for actor in reversed(read_actor_chain(claims.get("act")))]
        is_over = bool(self._story.calls) and not self._story.calls[0].is_allowed
        nodes = [ChainNode("person", "You", claims["sub"])]
        nodes += [ChainNode("agent", name, ended=is_over) for name in actors]
        nodes.append(ChainNode("resource", "Ticket desk", "MCP server"))
        return draw_chain(nodes, self._edges(claims, len(actors)))

    def _edges(self, claims: dict[str, Any], actor_count: int) -> list[ChainEdge]:
        """What each party handed to the next, and how long the last token lives."""
        given = frozenset(claims_of(self._story.planner_token)["scope"].split())
        left = frozenset(claims["scope"].split())
        edges = [ChainEdge(passes=tuple(sorted(given)))]
        if actor_count > 1:
            edges.append(ChainEdge(passes=tuple(sorted(left)), drops=tuple(sorted(given - left))))
        lifetime = duration(claims["exp"] - claims["iat"])
        return [*edges, ChainEdge(passes=tuple(sorted(left)), ends=f"for {lifetime}")]

    def _start(self) -> Response:
        self._revoke_opened = False
        return redirect(self._story.begin(), 303)

    def _callback(self) -> Response:
        try:
            self._story.finish(dict(request.args))
            self._tell("good", "Planner may act for you.", "It holds a token that ends by itself in minutes.")
        except OAuthRefused as refused:
            self._tell("bad", "Planner got no permission.", refused.description or refused.error)
        except (ValueError, KeyError):
            self._tell("bad", "This answer was not expected.", "Start with step 1 again.")
        return _home()

    def _read(self) -> Response:
        answer = self._story.list_tickets()
        self._tell_outcome(answer.is_allowed, "Planner read the tickets.")
        return _home()

    def _hand_over(self) -> Response:
        try:
            self._story.hand_over()
        except OAuthRefused as refused:
            self._tell("bad", "The broker refused the hand-over.", refused.description or refused.error)
            return _home()
        answer = self._story.create_ticket()
        self._tell_outcome(answer.is_allowed, "Ticket writer created a ticket for you.")
        return _home()

    def _revoke(self) -> Response:
        self._revoke_opened = True
        return redirect(f"{self._around.tenant_url}/me/agents", 303)

    def _again(self) -> Response:
        answer = self._story.create_ticket("One more ticket")
        if answer.is_allowed:
            self._revoke_opened = False
            self._tell("caution", "It still works.", "Revoke Planner on your agents page first.")
        else:
            self._tell(
                "good", "Refused, as it should be.", "Revoking Planner ended what it had handed on, too."
            )
        return _home()

    def _tell_outcome(self, is_allowed: bool, words: str) -> None:
        if is_allowed:
            self._tell("good", words, "")
        else:
            self._tell("bad", "The ticket desk refused.", self._story.calls[0].detail)

    def _tell(self, tone: str, title: str, text: str) -> None:
        self._notice = {"tone": tone, "title": title, "text": text}


_STEPS = (
    ("Sign in", "The broker sends you to one of three company sign-in services. Pick anybody there."),
    ("Allow the agent", "The broker shows what Planner wants, what it will not get, and for how long."),
    (
        "The agent calls a tool",
        "Planner reads the ticket desk. The desk checks the token and asks the broker.",
    ),
    (
        "It hands on less than it has",
        "Ticket writer gets a narrower token that names you, Planner and itself.",
    ),
    ("Take it back", "Open your agents page, revoke Planner, and come back to this page."),
    ("The next call fails", "Ticket writer never asked you. What it got from Planner is over all the same."),
)


def _home() -> Response:
    return redirect(url_for("home"), 303)


def _to(url: str) -> Any:
    return lambda tenant: redirect(url, 303)


def _person(provider: ProviderView, person: Person) -> dict[str, str]:
    return {"name": person.name, "email": person.email, "idp": provider.look.name, "note": person.about}
