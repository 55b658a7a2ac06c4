"""What no honest request does is refused before any view runs: large bodies, compressed bodies."""

from flask import Flask, request

from broker.kernel.errors import ErrorCode, Refusal

MAX_BODY_BYTES = 262_144
"""No form, assertion or declaration that a browser or client sends is honestly larger."""


def install_limits(app: Flask) -> None:
    """Bound the size of every request body of ``app`` and refuse encoded ones."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.config["MAX_FORM_PARTS"] = 200
    app.before_request(refuse_encoded_body)


def refuse_encoded_body() -> None:
    """Refuse a request with a Content-Encoding.

    Without this: a small compressed body could unfold to gigabytes in whatever decodes it later.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "Encoded request bodies are not accepted.", reason="encoded_body"
        )


def first_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return parameters as a mapping; raises ``Refusal(invalid_request)`` if one is repeated (RFC 6749 §3.1).

    Without this: two components could each read another one of two values.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Refusal(ErrorCode.INVALID_REQUEST, "A parameter is repeated.", reason="repeated_parameter")
        found[name] = value
    return found
