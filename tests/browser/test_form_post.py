"""An answer that is posted (response_mode=form_post): by itself with scripts, by one button without."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser
from sqlalchemy import select

from broker.agents.models import Client
from broker.demo.world import World
from broker.kernel.versions import bump
from tests.browser.gallery import Gallery
from tests.browser.visitor import visiting

Told = list[dict[str, list[str]]]


@contextmanager
def application(told: Told) -> Iterator[str]:
    """Serve an application's callback that notes what is posted to it."""

    class Callback(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told.append(parse_qs(body))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>Done</title><link rel=icon href=data:,><h1>Done</h1>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Callback)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/posted"
    finally:
        server.shutdown()
        server.server_close()


def address(world: World, callback: str) -> str:
    """A request that is refused at once, with its answer posted to ``callback``."""
    rt = world.broker.runtime
    with rt.database.unscoped(write=True) as session:
        row = session.scalars(select(Client).where(Client.client_id == world.story.planner.client_id)).one()
        row.application_type = "native"
        row.redirect_uris = [*row.redirect_uris, callback]
        bump(session.connection(), row.tenant_id)
    asked = world.story.planner.begin("tickets:read")
    redirect = parse_qs(urlsplit(asked).query)["redirect_uri"][0]
    with_callback = asked.replace(_quoted(redirect), _quoted(callback))
    return f"{with_callback}&response_mode=form_post&prompt=none"


def _quoted(text: str) -> str:
    return text.replace(":", "%3A").replace("/", "%2F")


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_iss_01_the_answer_is_posted_to_the_application(
    chromium: Browser, world: World, has_scripts: bool
) -> None:
    told: Told = []
    with application(told) as callback, visiting(chromium, has_scripts=has_scripts) as visitor:
        visitor.page.goto(address(world, callback), wait_until="commit")
        if not has_scripts:
            visitor.sees_heading(f"Taking you to {urlsplit(callback).netloc}")
            visitor.press("Continue")
        visitor.arrives_at(callback)
    assert told[0]["error"] == ["login_required"]
    assert told[0]["iss"] == [world.tenant_url]
    assert set(told[0]) == {"error", "error_description", "state", "iss"}


def test_the_page_looks_as_the_others_do(chromium: Browser, world: World) -> None:
    with application([]) as callback, visiting(chromium, has_scripts=False) as visitor:
        pictures = Gallery(visitor)
        assert visitor.open(address(world, callback)) == 200
        pictures.take("answer-posted")
        assert pictures.problems == []
