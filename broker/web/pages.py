"""What every template may use: the tenant's name, who is signed in, drawings, words for times and counts."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask
from flask_bootstrap import Bootstrap5

from broker.kernel.runtime import Runtime
from broker.web.current import shown_tenant, tenant
from broker.web.drawing import install_drawing
from broker.web.formatting import install_formatting
from broker.web.sessions import signed_in

STATIC_FOLDER = Path(__file__).parent / "static"


def templates_folder() -> Path:
    """Return where the templates are: inside the installed package, else beside it in the repository."""
    spec = find_spec("broker")
    package = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path()
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def install_pages(app: Flask, rt: Runtime) -> None:
    """Give the templates of ``app`` their filters, drawings, local Bootstrap files and page context."""
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    Bootstrap5(app)
    install_formatting(app, rt.clock.now)
    install_drawing(app)

    @app.context_processor
    def page_context() -> dict[str, Any]:
        return {
            "current_tenant": shown_tenant(),
            "signed_in": signed_in(),
            "is_development": rt.settings.is_development,
        }


def static_release() -> str:
    """Return a word that changes whenever a static file of ours changes."""
    digest = hashlib.sha256()
    for path in sorted(STATIC_FOLDER.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def tenant_blueprint(name: str, module: str) -> Blueprint:
    """Return a blueprint below ``/t/<tenant>`` whose views ask ``current.tenant()``; others are 404."""
    blueprint = Blueprint(name, module, url_prefix="/t/<tenant>")

    @blueprint.url_value_preprocessor
    def take_tenant(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        (values or {}).pop("tenant", None)

    @blueprint.before_request
    def require_active_tenant() -> None:
        tenant()

    return blueprint
