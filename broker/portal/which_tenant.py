"""Which tenant a browser means that comes without one: where it signed in, or the only one there is."""

from sqlalchemy import select

from broker.kernel.runtime import Runtime
from broker.tenants.models import Tenant
from broker.tenants.snapshot import SLUG, find_tenant
from broker.web.cookies import find_cookie, last_connection_cookie_name

_MAX_COOKIES = 100


def likely_slugs(rt: Runtime, cookie_header: str) -> list[str]:
    """Return the active tenants that this browser may mean; several or none: ask the person."""
    return _slugs_of_sign_ins(rt, cookie_header) or _only_slug(rt)


def _slugs_of_sign_ins(rt: Runtime, cookie_header: str) -> list[str]:
    prefix = last_connection_cookie_name(rt.settings, "")
    names = [pair.strip().partition("=")[0] for pair in cookie_header.split(";")[:_MAX_COOKIES]]
    slugs = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return [
        slug
        for slug in dict.fromkeys(slugs)
        if SLUG.fullmatch(slug) and find_cookie(cookie_header, prefix + slug) and is_active(rt, slug)
    ]


def is_active(rt: Runtime, slug: str) -> bool:
    """Whether there is an active tenant of that name."""
    found = find_tenant(rt, slug)
    return found is not None and found.is_active


def _only_slug(rt: Runtime) -> list[str]:
    """Return the name of the tenant where there is exactly one, else nothing; reads two rows at most."""
    with rt.database.unscoped() as session:
        rows = session.execute(select(Tenant.slug, Tenant.state).limit(2)).all()
    return [rows[0].slug] if len(rows) == 1 and rows[0].state == "active" else []
