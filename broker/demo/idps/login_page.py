"""The login page of the demo's identity providers: pick a person, no password."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, render_template

from broker.demo.people import Person

_ROOM = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Look:
    """How a provider introduces itself: its name, the company's domain, and a tone for its pages."""

    name: str
    domain: str
    tone: str


def create_provider_app(name: str) -> Flask:
    """A Flask application with the demo's pages and styles, and nothing else."""
    return Flask(name, template_folder=str(_ROOM / "pages"), static_folder=str(_ROOM / "static"))


def render_login(look: Look, people: Sequence[Person], hidden: Mapping[str, str], hint: str = "") -> str:
    """The page on which somebody is picked; `hidden` travels through the form, `hint` marks one person."""
    return render_template("idp_login.html", look=look, people=people, hidden=hidden, hint=hint)


def render_refusal(look: Look, what: str) -> tuple[str, int]:
    """A provider's own error page: the request that reached it was wrong."""
    return render_template("idp_error.html", look=look, what=what), 400
