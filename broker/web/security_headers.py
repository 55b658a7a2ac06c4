"""The headers that every answer of the broker carries, whoever gives it."""

from broker.kernel.settings import Settings

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        # Nothing leaves by a form: pages that lead elsewhere after a form do so by `onward.lead_to`.
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The content security policy of every page; no page needs an inline script or style."""

YEAR_SECONDS = 31_536_000


def security_headers(settings: Settings) -> list[tuple[str, str]]:
    """Return the headers that every answer of the broker carries, also those of the short lane."""
    headers = [
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ]
    if settings.is_https:
        headers.append(("Strict-Transport-Security", f"max-age={YEAR_SECONDS}; includeSubDomains"))
    return headers
