"""Ways to leave a page: to a path of ours, or elsewhere after a form was posted."""

import re
from collections.abc import Mapping

from flask import Response, make_response, redirect, render_template

from broker.web.security_headers import POLICY

_PATH = re.compile(r"/[A-Za-z0-9._~/-]*(\?[A-Za-z0-9._~/=&%-]*)?")
_MAX_PATH = 2000


def is_own_path(path: str, slug: str) -> bool:
    """Whether ``path`` is one that a sign-in at tenant ``slug`` may end at: its pages and nothing else.

    Without this: a link to our sign-in could send people on to a look-alike page, in whatever spelling
    their browser understands (``//host``, ``/\\host``, encoded slashes, dot segments).
    """
    if len(path) > _MAX_PATH or not _PATH.fullmatch(path) or "//" in path or "/." in path:
        return False
    home = f"/t/{slug}"
    bare = path.partition("?")[0]
    return any(bare == home + area or bare.startswith(f"{home}{area}/") for area in _AREAS)


_AREAS = ("/me", "/admin", "/consent", "/authorize", "/device")


def see_other(location: str) -> Response:
    """Return a 303 to ``location``, which is a path of ours or an address from configuration."""
    return make_response(redirect(location, 303))


def lead_to(location: str) -> Response:
    """Return a small page that goes on to ``location`` by itself; the answer to a form that leads elsewhere.

    Chromium applies ``form-action`` to every redirect that follows a form, also to those of the far side,
    so a chain of redirects would need a policy that names hosts nobody can know. A page ends the chain.
    """
    response = make_response(render_template("sign_in/onward.html", location=location))
    response.headers["Refresh"] = f"0; url={location}"
    return response


def post_to(location: str, fields: Mapping[str, str]) -> Response:
    """Return a page that posts ``fields`` to ``location``, an address that its owner registered.

    Only this page may have a form that leads elsewhere; where the far side redirects to is its own affair.
    """
    response = make_response(render_template("sign_in/answer.html", location=location, fields=fields))
    response.headers["Content-Security-Policy"] = POLICY.replace("form-action 'self'", "form-action *")
    return response
