"""What a SAML response costs, ours against stock python3-saml, in processes that take turns.

Two comparisons, both promised. *Verification*: the posted bytes to a verified identity; ours is the whole of
it, guard, python3-saml, signxml, policy. *Session*: the posted response to the browser's session. There the
stock column writes the very rows that ours writes, by the same functions, for otherwise a library that
keeps nothing would be compared with a broker that keeps who signed in: the flow spent, the mark against
replay, person, link and groups, the session, two events. It does so as one who has only the library would,
in one request with one commit. Ours has three, because a post from another site brings no Lax cookie (the
answer is kept until the browser comes back with it) and because a flow is used up before its answer is looked
at; what that costs is ours to pay.

They cannot share a process: ours gives the library another clock and a compiled schema.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idp_connectors.base import Begun, LoginRequest
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.saml_encryption import Encryption
from tests.builders.saml_idp import ACS_URL, ENTITY_ID, SamlIdentityProvider
from tests.builders.service_keys import make_service_keys, service_key

KINDS = ("signed", "encrypted")
MAX_RATIO = {"signed": 1.0, "encrypted": 0.4}
"""What ours may cost against stock python3-saml, alike for the verification and up to the session."""

COMPARED = {"verification": ("stock", "ours"), "session": ("stock-session", "session")}
"""What is measured against what, by the names of ``tests.bench.saml_process``."""

ATTRIBUTES = {
    "mail": ["maya@acme.example"],
    "displayName": ["Maya Example"],
    "groups": [f"team-{number}" for number in range(5)],
}
LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)


def run_saml(folder: Path, rounds: int, times: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return CPU milliseconds of one response by kind, and the ratio of ours to stock in each round."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        case = folder / f"saml-{kind}.json"
        costs: dict[str, list[float]] = {who: [] for pair in COMPARED.values() for who in pair}
        for number in range(rounds):
            tell(f"SAML, {kind}: round {number + 1} of {rounds}")
            # Made anew each round, so that a long run does not outlive the assertion.
            case.write_text(json.dumps(_case(kind)))
            for who, into in costs.items():
                into.append(_measure(who, case, times))
        found[kind] = {
            name: _compare(costs[theirs], costs[mine]) for name, (theirs, mine) in COMPARED.items()
        }
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as people read them."""
    rows = ["", "SAML response, CPU ms: stock python3-saml / ours (ours / stock)"]
    for kind, both in found.items():
        for name, one in both.items():
            rows.append(
                f"{kind:10} {name:13} {one['stock_ms']['median']:.2f} / {one['ours_ms']['median']:.2f} "
                f"({one['of_stock']['median']:.2f}, worst {one['of_stock']['worst']:.2f})"
            )
    return rows


def missed(found: dict[str, Any]) -> list[str]:
    """Which of the promised ratios were not reached."""
    return [
        f"{name} of a {kind} SAML response costs {one['of_stock']['median']:.2f} of stock, "
        f"promised {MAX_RATIO[kind]}"
        for kind, both in found.items()
        for name, one in both.items()
        if one["of_stock"]["median"] > MAX_RATIO[kind]
    ]


def provider(kind: str, now: int) -> SamlIdentityProvider:
    """A provider that signs its assertions, and encrypts them where the kind says so."""
    if kind == "encrypted":
        return SamlIdentityProvider(now=now, encrypt=Encryption())
    return SamlIdentityProvider(now=now)


def _case(kind: str) -> dict[str, Any]:
    now = int(time.time())
    idp = provider(kind, now)
    config = idp.config(encryption="accepted")
    begun: Begun = (
        SamlConnector().interactive(config, {}).begin(LOGIN, make_deps(now=now, keys=make_service_keys()))
    )
    callback = idp.sign_in(begun, attributes=ATTRIBUTES)
    key = service_key("sp-encryption")
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return {
        "kind": kind,
        "now": now,
        "config": config,
        "private": dict(begun.private),
        "form": dict(callback.form),
        "key": base64.b64encode(pem).decode(),
        "certificate": key.certificate,
    }


def _measure(who: str, case: Path, times: int) -> float:
    command = (sys.executable, "-m", "tests.bench.saml_process", who, str(case), str(times))
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode:
        raise RuntimeError(f"{who}: {ran.stderr[-2000:]}")
    return float(ran.stdout)


def _compare(stock: list[float], ours: list[float]) -> dict[str, dict[str, float]]:
    ratios = [mine / theirs for mine, theirs in zip(ours, stock, strict=True)]
    return {"stock_ms": _spread(stock), "ours_ms": _spread(ours), "of_stock": _spread(ratios)}


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    found = {"best": ordered[0], "median": median(ordered), "worst": ordered[-1]}
    return {name: round(value, 4) for name, value in found.items()}
