"""Parameters of OAuth requests: each at most once, of sane size, in the one place where it may stand."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainRequest

MAX_BODY_BYTES = 65_536
MAX_FIELDS = 64
_REPEATABLE = frozenset({"resource", "audience"})
_FORM = "application/x-www-form-urlencoded"


class Params:
    """Parsed parameters; ``resource`` and ``audience`` may repeat (RFC 8707 §2, RFC 8693 §2.1)."""

    __slots__ = ("_lists", "_values")

    def __init__(self, values: Mapping[str, str], lists: Mapping[str, tuple[str, ...]]) -> None:
        self._values = values
        self._lists = lists

    def get(self, name: str) -> str:
        """Return the value of ``name``, empty when absent: the two count as the same (RFC 6749 §3.1)."""
        return self._values.get(name, "")

    def require(self, name: str) -> str:
        """Return the value of ``name``; raises ``Refusal(invalid_request)`` when absent or empty."""
        value = self._values.get(name, "")
        if not value:
            raise Refusal(ErrorCode.INVALID_REQUEST, f"The parameter {name} is missing.", reason="missing")
        return value

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a repeatable parameter."""
        return self._lists.get(name, ())

    def pairs(self) -> list[tuple[str, str]]:
        """Return every parameter with each of its values, as ``params_of`` takes them."""
        return [
            *self._values.items(),
            *((name, value) for name, values in self._lists.items() for value in values),
        ]

    def has(self, name: str) -> bool:
        """Say whether ``name`` was sent at all, even empty."""
        return name in self._values or name in self._lists


def parse_pairs(text: str) -> Params:
    """Return the parameters of a query string or form body.

    Raises ``Refusal(invalid_request)`` for a repeated or unreadable parameter. Without this: two readers of
    one request could each see another value (parameter pollution, RFC 6749 §3.1).
    """
    try:
        pairs = _split(text)
    except ValueError:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "The parameters are malformed.", reason="malformed"
        ) from None
    return params_of(pairs)


def params_of(pairs: Iterable[tuple[str, str]]) -> Params:
    """Return pairs as parameters; raises ``Refusal(invalid_request)`` as ``parse_pairs`` does."""
    values: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        # Without this: a NUL or control character could end a line in a log or a string in a database.
        if not value.isprintable() or not name.isprintable():
            raise Refusal(ErrorCode.INVALID_REQUEST, "The parameters are malformed.", reason="unprintable")
        if name in _REPEATABLE:
            if value:
                lists[name] = (*lists.get(name, ()), value)
        elif name in values:
            raise Refusal(ErrorCode.INVALID_REQUEST, "A parameter is repeated.", reason="repeated")
        else:
            values[name] = value
    return Params(values, lists)


def _split(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a form (RFC 6749 Appendix B); raises ``ValueError``."""
    fields = text.split("&", MAX_FIELDS) if text else []
    parts = [field.partition("=") for field in fields]
    if len(fields) > MAX_FIELDS or not all(equals for _, equals, _ in parts):
        raise ValueError("too many fields, or one without a value")
    if "%" not in text and "+" not in text:
        return [(name, value) for name, _, value in parts]
    return [(_decode(name), _decode(value)) for name, _, value in parts]


def _decode(text: str) -> str:
    # Addresses and types of tokens are full of these two, and of nothing else that is escaped.
    found = text.replace("+", " ").replace("%3A", ":").replace("%2F", "/")
    return found if "%" not in found else unquote_to_bytes(found).decode("utf-8")


def parse_form(request: PlainRequest) -> Params:
    """Return the parameters of a POSTed form; nothing is ever taken from the query (RFC 6749 §2.3.1).

    Raises ``Refusal(invalid_request)`` or ``Refusal(too_large)``.
    """
    if request.method != "POST":
        raise Refusal(ErrorCode.INVALID_REQUEST, "Use POST.", reason="method")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"Send the parameters as {_FORM}.", reason="content_type")
    if request.headers.get("content-encoding"):
        # Without this: a few compressed bytes could unfold to gigabytes.
        raise Refusal(ErrorCode.INVALID_REQUEST, "Send the body uncompressed.", reason="content_encoding")
    if len(request.body) > MAX_BODY_BYTES:
        raise Refusal(ErrorCode.TOO_LARGE, "The request is too large.", reason="too_large")
    if request.query_string:
        # Without this: credentials in a query end up in the logs of every proxy on the way.
        raise Refusal(ErrorCode.INVALID_REQUEST, "Send parameters in the body only.", reason="query")
    try:
        return parse_pairs(request.body.decode("ascii"))
    except UnicodeDecodeError:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "The parameters are malformed.", reason="malformed"
        ) from None


def parse_scope(text: str) -> frozenset[str] | None:
    """Return the scopes of a ``scope`` parameter, None when it was not sent (RFC 6749 §3.3)."""
    if not text:
        return None
    scopes = text.split(" ")
    if len(scopes) > 100 or any(
        not scope or set(scope) & {'"', "\\"} or not scope.isascii() for scope in scopes
    ):
        raise Refusal(ErrorCode.INVALID_SCOPE, "The scope parameter is malformed.", reason="scope_malformed")
    return frozenset(scopes)
