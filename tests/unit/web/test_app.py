"""The composition root: a working application from settings alone."""

import importlib
from pathlib import Path

from werkzeug.test import Client

from broker.app import MODEL_MODULES, create_app
from broker.kernel.clock import FixedClock
from broker.kernel.settings import load_settings
from broker.web.current import shell_of, slug_in
from broker.web.pages import templates_folder

ROOT = Path(__file__).parents[3]


def test_every_models_module_is_named() -> None:
    found = {f"broker.{path.parent.name}.models" for path in (ROOT / "broker").glob("*/models.py")}
    assert found == set(MODEL_MODULES)


def test_an_application_starts_on_an_empty_folder_and_again(tmp_path: Path) -> None:
    settings = load_settings(profile="development", data_dir=tmp_path / "data")
    for _ in range(2):
        app = create_app(settings, clock=FixedClock(1_795_503_600), connectors={})
        assert app.test_client().get("/t/acme/sign-in").status_code == 404
        shell = shell_of(app)
        assert shell.rt.clock.now() == 1_795_503_600
        shell.rt.database.close()


def test_the_server_finds_the_application_by_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BROKER_PROFILE", "development")
    monkeypatch.setenv("BROKER_DATA_DIR", str(tmp_path / "data"))
    served = importlib.import_module("broker.wsgi")
    visitor = Client(served.app)
    # The lane answers without Flask, and Flask what the lane does not know.
    assert visitor.get("/t/acme/jwks").status_code == 404
    assert visitor.get("/nothing").status_code == 404
    for job in served.jobs:
        job.stop()
    served.rt.database.close()


def test_templates_are_found_beside_the_package() -> None:
    assert templates_folder() == ROOT / "templates"


def test_the_slug_of_a_path() -> None:
    assert slug_in("/t/acme/sign-in") == "acme"
    assert slug_in("/t/acme") == "acme"
    assert slug_in("/static/t/acme") == ""
    assert slug_in("/x/t/acme/y") == ""
    assert slug_in("/") == ""
