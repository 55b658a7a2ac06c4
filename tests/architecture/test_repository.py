"""The repository holds what everybody may see, in the places that everybody expects."""

import re
import tomllib

from tests.builders.source_tree import ROOT, files_with, repository_files, text_of

TOP_LEVEL = {
    ".ci", ".editorconfig", ".gitattributes", ".gitignore",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "pyproject.toml",
    "broker", "deploy", "idp_connectors", "templates", "tests",
}  # fmt: skip
TEXT = (
    ".py", ".md", ".html", ".css", ".js", ".mjs", ".json", ".toml", ".yaml", ".yml", ".lock", ".sh", ".svg",
    ".txt", ".xml", ".php", ".ini", ".cfg", ".mako", "",
)  # fmt: skip

# Spelled in pieces, so that this file does not hold what it looks for.
REGISTRY_HOSTS = (
    "pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "registry.yarn" + "pkg.com",
    "deb.debian" + ".org", "proxy.golang" + ".org", "static.crates" + ".io", "repo.maven" + ".apache.org",
)  # fmt: skip
MACHINE_PATHS = re.compile(
    "|".join(
        ["/wo" + r"rk/", "/tm" + r"p/plan", "/ro" + r"ot/[\w.]", r"/ho" + r"me/\w+/", r"/Us" + r"ers/\w+/"]
    )
)
ADDRESS = re.compile(r"https?://")


def test_the_top_level_is_fixed():
    assert {path.parts[0] for path in repository_files()} - TOP_LEVEL == set()


def test_no_file_names_a_registry_or_a_machine():
    found = []
    for path in files_with(*TEXT):
        for number, line in enumerate(text_of(path).splitlines(), start=1):
            if any(host in line for host in REGISTRY_HOSTS) or MACHINE_PATHS.search(line):
                found.append(f"{path}:{number}: {line.strip()[:100]}")
    assert found == []


def test_locks_hold_hashes_and_no_addresses():
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-build.lock"):
        lines = (ROOT / "deploy" / name).read_text().splitlines()
        assert [line for line in lines if ADDRESS.search(line) or "index-url" in line] == [], name
        pinned = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
        assert pinned, name
        assert [line for line in pinned if "==" not in line or not line.endswith("\\")] == [], name


def test_npm_locks_hold_no_addresses():
    locks = [path for path in repository_files() if path.name == "package-lock.json"]
    assert [str(path) for path in locks if '"resolved": "http' in text_of(path)] == []


def test_the_lock_holds_every_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    locked = {
        line.split("==")[0].split("[")[0].lower().replace("_", "-")
        for line in (ROOT / "deploy/requirements-dev.lock").read_text().splitlines()
        if re.match(r"[A-Za-z0-9]", line)
    }
    names = {re.split(r"[\[<>=!~ ;]", one)[0].lower().replace("_", "-") for one in declared}
    assert names - locked == set(), "run `make lock`"


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_no_third_party_script_or_style_is_committed():
    # Pages load what Bootstrap-Flask serves from its own wheel; a copy here would age unseen.
    copies = [
        str(path) for path in files_with(".js", ".css") if ".min." in path.name or "vendor" in path.parts
    ]
    assert copies == []
