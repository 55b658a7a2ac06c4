"""Secrets typed into a form that is shown again: sealed into the page, so that nobody types them twice."""

import base64
import binascii
from collections.abc import Collection, Iterable

import orjson

from broker.admin.changes import Desk
from broker.admin.connection_form import FormField, FormValues, mark_kept
from broker.kernel.sealing import SealBroken

KEEP_SECONDS = 1800
"""How long a page may lie open before its secrets are asked for again."""
_KEPT = "kept-"


def restore(desk: Desk, form: FormValues, names: Iterable[str], place: str) -> FormValues:
    """Return the form with what an earlier page of ``place`` kept in those of its fields that are empty.

    What was sealed for another tenant, session, place or field, or too long ago, counts as nothing.
    """
    found = {
        name: [secret]
        for name in names
        if not form.get(name) and (secret := _open(desk, form.get(_KEPT + name), place, name))
    }
    return FormValues({**form.values, **found})


def keep(
    desk: Desk, form: FormValues, names: Iterable[str], place: str, *, wrong: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return hidden fields that keep the form's secrets, without those that are ``wrong``."""
    return [
        (_KEPT + name, _seal(desk, form.get(name), place, name))
        for name in names
        if form.get(name) and name not in wrong
    ]


def marked(fields: Iterable[FormField], kept: Iterable[tuple[str, str]]) -> list[FormField]:
    """Return the fields, those whose secret is kept marked as such."""
    names = {name.removeprefix(_KEPT) for name, _ in kept}
    return [mark_kept(one) if one.name in names else one for one in fields]


def _seal(desk: Desk, secret: str, place: str, name: str) -> str:
    plain = orjson.dumps({"secret": secret, "ends_at": desk.now + KEEP_SECONDS})
    return base64.urlsafe_b64encode(desk.rt.sealer.seal(plain, _context(desk, place, name))).decode()


def _open(desk: Desk, sealed: str, place: str, name: str) -> str:
    try:
        plain = desk.rt.sealer.open(base64.urlsafe_b64decode(sealed), _context(desk, place, name))
    except (SealBroken, binascii.Error, ValueError):
        return ""
    kept = orjson.loads(plain)
    return str(kept["secret"]) if desk.now < kept["ends_at"] else ""


def _context(desk: Desk, place: str, name: str) -> str:
    # Without the session: whoever copied somebody's page could save that secret at a provider of their own,
    # which is then sent it.
    return f"{desk.tenant.id}/forms/{desk.who.session.id}/{place}/{name}"
