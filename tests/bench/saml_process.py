"""``python -m tests.bench.saml_process WHO CASE TIMES``: CPU milliseconds of one SAML response, printed."""

import base64
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.saml import ATTRIBUTES, provider
from tests.builders.saml_idp import ACS_URL, ENTITY_ID

WARM_UP = 5


def main() -> None:
    """Measure what was asked for."""
    who, path, times = sys.argv[1:]
    case = json.loads(Path(path).read_text())
    with tempfile.TemporaryDirectory(prefix="broker-bench-saml-") as folder:
        step = WHO[who](case, Path(folder), int(times) + WARM_UP)
        for _ in range(WARM_UP):
            step()
        started = time.process_time()
        for _ in range(int(times)):
            step()
        print((time.process_time() - started) / int(times) * 1000)


def _stock(case: dict[str, Any], folder: Path, count: int) -> Callable[[], object]:
    from tests.bench.saml_stock import Stock

    stock = Stock(
        config=case["config"],
        entity_id=ENTITY_ID,
        acs_url=ACS_URL,
        key=base64.b64decode(case["key"]).decode(),
        certificate=case["certificate"],
    )

    def step() -> None:
        stock.verify(case["form"], case["private"]["request_id"])

    return step


def _ours(case: dict[str, Any], folder: Path, count: int) -> Callable[[], object]:
    """The whole of our verification: guard, python3-saml, signxml, policy, identity."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from idp_connectors.base import Callback, ServiceKey, ServiceKeys
    from idp_connectors.saml import SamlConnector
    from tests.builders.connector_deps import make_deps

    private = load_pem_private_key(base64.b64decode(case["key"]), None)
    key = ServiceKey(id="sp", certificate=case["certificate"], private=private)
    keys = ServiceKeys(signing=key, published_signing=(key,), published_encryption=(key,), decrypting=(key,))
    deps = make_deps(now=case["now"], spend=lambda *told: True, keys=keys)
    callback = Callback(
        method="POST",
        callback_url=ACS_URL,
        entity_id=ENTITY_ID,
        private=case["private"],
        form=case["form"],
    )

    def step() -> None:
        login = SamlConnector().interactive(case["config"], {})
        assert login.complete(callback, deps).email == ATTRIBUTES["mail"][0]

    return step


def _session(case: dict[str, Any], folder: Path, count: int) -> Callable[[], object]:
    """From the posted response to the browser's session: every check, row and event of a sign-in."""
    from tests.bench.saml_sign_ins import SignIns

    return SignIns(folder, provider(case["kind"], case["now"]), case["now"], count).next


def _stock_session(case: dict[str, Any], folder: Path, count: int) -> Callable[[], object]:
    """The same rows behind stock python3-saml, in one commit."""
    from tests.bench.saml_sign_ins import StockSignIns

    return StockSignIns(folder, provider(case["kind"], case["now"]), case["now"], count).next


WHO = {"stock": _stock, "ours": _ours, "stock-session": _stock_session, "session": _session}

if __name__ == "__main__":
    main()
