"""Load on the key ring: nodes that mint and move keys on, and verifiers that keep the key set as told.

As a process (``python -m tests.builders.key_load``) it is one node of a broker with a verifier beside it.
Tokens it mints go to its standard output, tokens of other nodes come by its standard input.
"""

import base64
import json
import random
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx2

from broker.discovery.documents import well_known
from broker.kernel.clock import Clock
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.plain import PlainRequest
from broker.kernel.runtime import Runtime, open_runtime
from broker.kernel.settings import load_settings
from broker.oauth.endpoints import answer
from broker.resource_server.issuer_client import IssuerClient
from broker.resource_server.issuer_keys import IssuerKeys
from broker.resource_server.refusals import TokenRefused
from broker.resource_server.verifier import Verifier
from broker.tokens.key_rotation import advance_keys
from tests.builders.oauth import claims_of
from tests.builders.world import SECRET

API = "https://api.load.example"
CLIENT = "cli_load"
PUBLIC_URL = "http://127.0.0.1:8080"
LIFE_SECONDS = 3600
POOL_TOKENS = 3000


class FastClock:
    """A clock that runs ``rate`` times as fast, alike in every process of the machine."""

    def __init__(self, epoch: float, zero: float, rate: float) -> None:
        self._epoch, self._zero, self._rate = epoch, zero, rate

    def now(self) -> int:
        """The time in epoch seconds."""
        return int(self._epoch + (time.monotonic() - self._zero) * self._rate)


def plain(rt: Runtime, method: str, path: str, body: str = "", **headers: str) -> PlainRequest:
    """A request of the present moment."""
    ctx = CallContext(now=rt.clock.now(), request_id=new_id("req"), ip="127.0.0.1")
    return PlainRequest(method, path, "", headers, body.encode(), ctx)


def mint(rt: Runtime) -> str:
    """A token by the token endpoint, for the load's own API."""
    form = urlencode({"grant_type": "client_credentials", "resource": API})
    basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": basic}
    reply = answer(rt, "acme", "token", plain(rt, "POST", "/t/acme/token", form, **headers))
    assert reply.status == 200, reply.body
    return str(json.loads(reply.body)["access_token"])


def verifier_of(rt: Runtime, clock: Clock) -> Verifier:
    """The kit's verifier at the load's API; it asks the node ``rt`` for metadata and keys."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        path = urlsplit(str(request.url)).path
        asked = plain(rt, "GET", path)
        reply = answer(rt, "acme", "jwks", asked) if path.endswith("/jwks") else well_known(rt, asked)
        assert reply is not None, path
        return httpx2.Response(reply.status, headers=dict(reply.headers), content=reply.body)

    issuer = f"{PUBLIC_URL}/t/acme"
    client = IssuerClient(issuer, httpx2.Client(transport=httpx2.MockTransport(handle)))
    keys = IssuerKeys(client, lambda: float(clock.now()))
    return Verifier(resource=API, issuer=issuer, keys=keys, clock=lambda: float(clock.now()))


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token and its end (epoch seconds)."""

    text: str
    expires_at: int


class Presenter:
    """Presents tokens that have not expired to one verifier, and counts what becomes of them."""

    def __init__(self, verifier: Verifier, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock
        self.held: deque[HeldToken] = deque(maxlen=POOL_TOKENS)
        self.counted: Counter[str] = Counter()
        self.kids: set[str] = set()

    def take(self, token: str) -> None:
        """Hold a token and present it at once."""
        self.held.append(HeldToken(token, int(claims_of(token)["exp"])))
        self.present(self.held[-1])

    def present(self, token: HeldToken) -> None:
        """Present a token, unless its end is too near to say which of the two clocks would be asked."""
        if token.expires_at <= self._clock.now() + 1:
            return
        try:
            self._verifier.verify(token.text)
        except TokenRefused as refused:
            self.counted[f"refused:{refused.reason}"] += 1
        else:
            self.counted["verified"] += 1


def main() -> None:
    """Be one node: epoch, zero and rate of the clock, database, folder, and how many to verify."""
    epoch, zero, rate, url, folder, wanted = sys.argv[1:]
    clock = FastClock(float(epoch), float(zero), float(rate))
    settings = load_settings(
        database_url=url, data_dir=Path(folder), profile="development", public_url=PUBLIC_URL
    )
    rt = open_runtime(settings, clock)
    presenter = Presenter(verifier_of(rt, clock), clock)
    stopped = threading.Event()
    arrived: deque[str] = deque()

    def listen() -> None:
        for line in sys.stdin:
            arrived.append(line.strip())
        stopped.set()

    def work() -> None:
        while not stopped.wait(0.2):
            advance_keys(rt)
            token = mint(rt)
            arrived.append(token)
            print("token", token, flush=True)

    for job in (listen, work):
        threading.Thread(target=job, daemon=True).start()
    chance, is_told = random.Random(epoch + folder), False
    while not stopped.is_set():
        while arrived:
            presenter.take(arrived.popleft())
        if presenter.held:
            presenter.present(chance.choice(presenter.held))
        if presenter.counted["verified"] >= int(wanted) and not is_told:
            is_told = True
            print("done", flush=True)
    print("result", json.dumps(presenter.counted), flush=True)


if __name__ == "__main__":
    main()
