"""Everything that an emulated identity provider can be told to do wrong: one table, one switch a provider."""

import threading
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from functools import wraps
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

SWITCH_PATH = "/emulator/fault"
SKEW_SECONDS = 600
"""How far a provider's clock runs ahead: more than anybody allows."""
SLOW_SECONDS = 30.0
"""Longer than the broker waits for an answer."""
DRIP_SECONDS = 0.1
DRIP_PIECES = 300
HUGE_BYTES = 5 * 1024 * 1024
"""More than the broker reads from anybody."""


class Fault(StrEnum):
    """Names what goes wrong; the first eight are in what the provider says, the others on its wire."""

    EXPIRED_CERTIFICATE = "expired_certificate"
    """The signing certificate has ended; its key still signs."""
    CLOCK_SKEW = "clock_skew"
    """The provider's clock is ten minutes ahead."""
    WRONG_AUDIENCE = "wrong_audience"
    """Answers are made for another application."""
    WRONG_ISSUER = "wrong_issuer"
    """The provider calls itself otherwise than agreed."""
    ROTATED_KEY = "rotated_key"
    """Answers are signed with a key that nobody was told of."""
    UNSIGNED = "unsigned"
    """Answers carry no signature."""
    MISSING_GROUPS = "missing_groups"
    """Answers say nothing about groups."""
    OVERAGE = "overage"
    """The person is in more groups than an answer of this provider holds."""
    BUSY = "busy"
    """Requests are answered with 429 Too Many Requests."""
    SLOW = "slow"
    """Nothing is answered for half a minute."""
    DRIP = "drip"
    """Answers come a byte at a time and do not end."""
    MALFORMED = "malformed"
    """Answers are not in the protocol's format."""
    HUGE = "huge"
    """Answers are larger than is honest."""


ALL_FAULTS = frozenset(Fault)


class FaultSwitch:
    """The one fault that a provider has at the moment, or none; it may be turned while requests run."""

    def __init__(self, possible: Collection[Fault] = ALL_FAULTS, fault: Fault | None = None) -> None:
        self.possible = frozenset(possible)
        self._turned = threading.Event()
        self._fault: Fault | None = None
        self.turn(fault)

    @property
    def fault(self) -> Fault | None:
        """The fault that is on."""
        return self._fault

    def turn(self, fault: Fault | None) -> None:
        """Turn `fault` on instead of the one before; None heals. Raises ValueError for one it cannot have."""
        if fault is not None and fault not in self.possible:
            raise ValueError(f"this provider cannot have the fault {fault}")
        before, self._turned = self._turned, threading.Event()
        self._fault = fault
        before.set()

    def is_on(self, fault: Fault) -> bool:
        """Whether `fault` is the one that is on."""
        return self._fault is fault

    def wait(self, seconds: float) -> bool:
        """Wait until the switch is turned or the time is over; returns whether it was turned."""
        return self._turned.wait(seconds)


def may_fail(switch: FaultSwitch, view: Callable[[], Any]) -> Callable[[], Any]:
    """Return `view`, which machines ask, with the faults of the wire in front of it."""

    @wraps(view)
    def answer() -> Any:
        spoiled = _spoil(switch)
        return view() if spoiled is None else spoiled

    return answer


def install_switch(app: Flask, switch: FaultSwitch) -> None:
    """Have `app` tell its fault at `SWITCH_PATH` and take another one by PUT of ``{"fault": name or null}``.

    JSON by PUT, which no page of another site can send without asking first.
    """

    def tell() -> Response:
        return jsonify(fault=switch.fault, possible=sorted(switch.possible))

    def turn() -> tuple[Response, int]:
        body = request.get_json(silent=True)
        name = body.get("fault", "") if isinstance(body, dict) else ""
        try:
            switch.turn(None if name is None else Fault(name))
        except ValueError as error:
            return jsonify(error=str(error)), 400
        return tell(), 200

    app.add_url_rule(SWITCH_PATH, "fault", tell, methods=["GET"])
    app.add_url_rule(SWITCH_PATH, "turn_fault", turn, methods=["PUT"])


def _spoil(switch: FaultSwitch) -> AnyResponse | None:
    match switch.fault:
        case Fault.BUSY:
            return Response("", 429, {"Retry-After": "30"})
        case Fault.SLOW:
            # Afterwards the right answer is sent, to nobody.
            switch.wait(SLOW_SECONDS)
            return None
        case Fault.DRIP:
            return Response(_drip(switch), mimetype="application/json")
        case Fault.MALFORMED:
            return Response("<html><title>Maintenance</title></html>", mimetype="text/html")
        case Fault.HUGE:
            return Response(_pad(), mimetype="application/json")
    return None


def _drip(switch: FaultSwitch) -> Iterator[bytes]:
    for _ in range(DRIP_PIECES):
        yield b" "
        if switch.wait(DRIP_SECONDS):
            return


def _pad() -> Iterator[bytes]:
    yield b'{"padding": "'
    for _ in range(HUGE_BYTES // 65_536):
        yield b"x" * 65_536
    yield b'"}'
