"""What an agent must be ready for: a server that says no, and a person who has to be asked."""


class OAuthRefused(Exception):  # noqa: N818 (a refusal is an answer, not a fault)
    """The authorization server said no; ``error`` is its OAuth code, ``description`` its sentence."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status = status
        self.error = error
        self.description = description


class ConsentRequired(Exception):  # noqa: N818 (a request, not a fault)
    """A person must sign in or agree first: send their browser to ``url``, then call ``finish``.

    ``reason`` is the OAuth code of the refusal that led here, empty when there was nothing to try.
    """

    def __init__(self, url: str, reason: str = "") -> None:
        super().__init__(f"a person has to agree at {url}")
        self.url = url
        self.reason = reason
