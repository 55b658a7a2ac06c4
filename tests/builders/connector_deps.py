"""What a connector is given in tests: a fixed time, a provider to talk to, real single use, a real cache."""

from dataclasses import dataclass, field

from idp_connectors.base import Deps, HttpClient, MemoryCache, ServiceKeys

NOW = 1_800_000_000


@dataclass
class SpentKeys:
    """Says True exactly once per (kind, key) and remembers until when each is kept."""

    until: dict[tuple[str, str], int] = field(default_factory=dict)

    def __call__(self, kind: str, key: str, expires_at: int) -> bool:
        if (kind, key) in self.until:
            return False
        self.until[kind, key] = expires_at
        return True


class NoNetwork:
    """An `HttpClient` for connectors that must not talk to anybody."""

    def client(self):
        raise AssertionError("this connector must not open a connection")

    def fetch_json(self, url, *, max_bytes=0, headers=None):
        raise AssertionError(f"this connector must not fetch {url}")


def make_deps(
    http: HttpClient | None = None, *, now: int = NOW, spend=None, cache=None, keys: ServiceKeys | None = None
) -> Deps:
    """Return dependencies at `now`; pass `spend` and `cache` on to share them between two calls."""
    return Deps(
        now=now,
        http=http or NoNetwork(),
        spend=spend or SpentKeys(),
        cache=cache or MemoryCache(),
        service_keys=None if keys is None else lambda: keys,
    )
