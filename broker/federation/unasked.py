"""Answers that a provider sends without having been asked: they are never read."""

from collections.abc import Mapping

from broker.federation.flows import HANDLE
from broker.tenants.snapshot import ConnectionView


def may_start_unasked(connection: ConnectionView, form: Mapping[str, str]) -> bool:
    """Whether an answer that nobody asked for leads to a sign-in that starts here.

    Only the fact that it came counts. Without this: an assertion that was stolen, or made for somebody else,
    would sign a browser in that never asked (login CSRF, S34).
    """
    is_unasked = HANDLE.fullmatch(form.get("RelayState", "")) is None
    return is_unasked and connection.config.get("idp_initiated") is True
