"""The composition root: what is wired to what, and in which order."""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from flask import Flask

from broker.admin.views import blueprint as admin
from broker.approvals.views import blueprint as consent
from broker.approvals.waiting import WaitingInteractions
from broker.discovery.documents import well_known
from broker.discovery.views import blueprint as discovery
from broker.federation.views import back_channel, sign_out
from broker.federation.views import blueprint as sign_in
from broker.kernel import schema
from broker.kernel.clock import Clock
from broker.kernel.runtime import Runtime, open_runtime
from broker.kernel.settings import Settings, load_settings
from broker.oauth import fast_lane
from broker.oauth.views import blueprint as oauth
from broker.oauth.views.device import blueprint as device
from broker.oauth.views.logout import blueprint as logout
from broker.portal.views import blueprint as portal
from broker.portal.views import front_door
from broker.scim.views import blueprint as scim
from broker.web.browser import install_cookies
from broker.web.current import Shell, install_shell
from broker.web.errors import install_errors
from broker.web.forms import accept_foreign_posts, accept_foreign_posts_at, install_forms
from broker.web.headers import install_headers
from broker.web.limits import install_limits
from broker.web.pages import STATIC_FOLDER, install_pages, static_release, templates_folder
from broker.web.sessions import install_sessions
from idp_connectors.base import Connector
from idp_connectors.presets import PRESETS
from idp_connectors.registry import CONNECTORS

MODEL_MODULES = (
    "broker.kernel.models",
    "broker.audit.models",
    "broker.tenants.models",
    "broker.directory.models",
    "broker.agents.models",
    "broker.tokens.models",
    "broker.federation.models",
    "broker.approvals.models",
    "broker.scim.models",
)
"""Every room that has tables; migrations and the schema check see what is named here."""

PAGES = (sign_in, sign_out, logout, device, consent, portal, front_door, admin)
PROTOCOLS = (oauth, discovery, scim, back_channel)


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    connectors: Mapping[str, Connector] | None = None,
) -> Flask:
    """Return the broker as a WSGI application with its database up to date.

    Without ``settings`` they come from the environment; ``clock`` and ``connectors`` are for tests and
    rehearsals.
    """
    rt = open_runtime(settings or load_settings(), clock)
    import_models()
    schema.upgrade(rt.database)
    return build_app(rt, CONNECTORS if connectors is None else connectors)


def import_models() -> None:
    """Declare every table to SQLAlchemy."""
    for name in MODEL_MODULES:
        importlib.import_module(name)


def build_app(rt: Runtime, connectors: Mapping[str, Connector]) -> Flask:
    """Return the application on a runtime whose database is ready, with the short lane in front."""
    app = build_pages(rt, connectors)
    inner: Any = app.wsgi_app
    lane: Any = fast_lane.wrap(inner, rt, partial(well_known, rt))
    app.wsgi_app = lane  # type: ignore[method-assign]
    return app


def build_pages(rt: Runtime, connectors: Mapping[str, Connector] = CONNECTORS) -> Flask:
    """Return what Flask answers, which is everything; `broker.wsgi` has the short lane in front already."""
    # The registry itself, not a copy: a copy would import every kind of connector at once.
    rt.connectors.maps[1:] = [cast(dict[str, Connector], connectors)]
    app = Flask(
        "broker",
        static_folder=str(STATIC_FOLDER),
        static_url_path="/static",
        template_folder=str(templates_folder()),
    )
    # Without these two: the router would answer odd spellings with redirects built from the Host header.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    install_shell(app, Shell(rt, connectors, WaitingInteractions(), PRESETS))
    install_headers(app, rt.settings, release=static_release())
    install_cookies(app)
    install_errors(app)
    install_limits(app)
    forms = install_forms(app, rt)
    install_sessions(app)
    install_pages(app, rt)
    for blueprint in (*PAGES, *PROTOCOLS):
        app.register_blueprint(blueprint)
    for blueprint in PROTOCOLS:
        accept_foreign_posts(app, forms, blueprint)
    # Identity providers post assertions here; the flow's handle and the browser's cookie prove the rest.
    accept_foreign_posts_at(app, forms, "sign_in.acs")
    # Applications post here to have somebody signed out; nothing ends before the GET that follows.
    accept_foreign_posts_at(app, forms, "logout.take_post")
    return app
