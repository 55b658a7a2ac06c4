"""Keys that others publish at an address: read through the egress, kept, and asked for again rarely."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import orjson

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.runtime import Runtime
from broker.kernel.versions import Caches
from broker.tokens.foreign_keys import AdmittedKey, admit_keys

MAX_BYTES = 64 * 1024
LEAST_SECONDS, MOST_SECONDS = 300, 86_400
RETRY_SECONDS = 60
"""A key id that is not in the set makes us look again, but not more often than this."""
MAX_SETS = 2_000


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: Mapping[str, AdmittedKey]
    fresh_until: int
    read_at: int


class _Kept:
    """The sets that one process keeps; the one that was not used for longest leaves first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sets: OrderedDict[tuple[str, str], _KeySet] = OrderedDict()


_kept: WeakKeyDictionary[Caches, _Kept] = WeakKeyDictionary()


def keys_at(rt: Runtime, tenant_id: str, url: str, kid: str | None, now: int) -> Mapping[str, AdmittedKey]:
    """Return by key id the admitted keys that are published at ``url``, at ``now`` (epoch seconds).

    ``kid`` is the key that the caller looks for: a set without it is read again, once a minute at most.
    Without the limit: made-up key ids would have us call the address as often as somebody likes.
    Raises ``Refusal(invalid_client)``; a failure is not remembered.
    """
    kept = _kept.get(rt.caches) or _kept.setdefault(rt.caches, _Kept())
    found = kept.sets.get((tenant_id, url))
    if found is not None and found.fresh_until > now:
        is_there = kid is None or kid in found.keys
        if is_there or found.read_at > now - RETRY_SECONDS:
            return found.keys
    read = _read(rt, url, now)
    with kept.lock:
        kept.sets[(tenant_id, url)] = read
        kept.sets.move_to_end((tenant_id, url))
        while len(kept.sets) > MAX_SETS:
            kept.sets.popitem(last=False)
    return read.keys


def _read(rt: Runtime, url: str, now: int) -> _KeySet:
    try:
        fetched = rt.egress.get(url, max_bytes=MAX_BYTES, headers={"Accept": "application/json"})
        document = orjson.loads(fetched.body)
        if not isinstance(document, dict):
            raise ValueError("not an object")
        keys = admit_keys(document)
    except (Refusal, ValueError) as fault:
        detail = fault.public if isinstance(fault, Refusal) else "not JSON"
        raise Refusal(
            ErrorCode.INVALID_CLIENT,
            "The client's keys could not be read.",
            reason="keys_unreadable",
            detail=detail,
        ) from None
    holds = fetched.holds_seconds(least=LEAST_SECONDS, most=MOST_SECONDS)
    return _KeySet(keys, now + holds, now)
