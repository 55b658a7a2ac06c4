"""What a browser's way out is made of, whether its person pressed a button or an application asked."""

from collections.abc import Sequence

from flask import render_template

from broker.federation import sign_out_at_provider, signing_out
from broker.tokens.sessions import BrowserSessionView
from broker.web.browser import ensure_browser_secret
from broker.web.current import call_context, connectors, runtime, tenant
from broker.web.sessions import SignedIn, take_sessions_back


def leave(who: SignedIn | None, found: Sequence[BrowserSessionView], *, is_led_on: bool) -> str:
    """End this browser's sessions; return where ``who`` can sign out at their provider too, if anywhere.

    Whoever ``is_led_on`` is asked nothing more: there is another address to go to.
    """
    provider_url = ""
    if who and not is_led_on:
        provider_url = sign_out_at_provider.offer(
            runtime(),
            connectors(),
            tenant(),
            who.session,
            call_context(),
            browser_secret=ensure_browser_secret(),
        )
    signing_out.end_sessions(runtime(), tenant(), found, call_context())
    take_sessions_back()
    return provider_url


def signed_out_page(who: SignedIn | None, provider_url: str) -> str:
    """Say that this browser is signed out here, and what is left to do elsewhere."""
    connection = tenant().connections.get(who.session.connection_id or "") if who else None
    return render_template(
        "sign_in/signed_out.html",
        connection_name=connection.name if connection else "",
        is_complete=False,
        provider_url=provider_url,
    )
