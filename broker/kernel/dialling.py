"""The guarded way to servers that do not speak HTTP: resolved once, checked, connected there.

Directories mostly stand in private networks, which no other outbound call may reach. So the operator names
them: what a tenant's administrator writes into a connection opens no door that the operator has not opened.
"""

import socket
import time
from collections.abc import Callable, Iterable

from broker.kernel.egress import is_public

Dial = Callable[[str, int, float], socket.socket]


class Dialler:
    """Opens TCP connections to public addresses and to the hosts that the operator named.

    ``hosts`` are names or addresses, with ``:port`` or without; a name stands for itself, not for what is
    below it. ``may_reach_loopback`` is the development profile's named relaxation.
    """

    def __init__(self, hosts: Iterable[str] = (), *, may_reach_loopback: bool = False) -> None:
        self._named = frozenset(_spelled(one) for one in hosts)
        self._may_reach_loopback = may_reach_loopback

    def __call__(self, host: str, port: int, timeout: float) -> socket.socket:
        """Return a socket that was connected within ``timeout`` (seconds); raises OSError."""
        ends = time.monotonic() + timeout
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as fault:
            raise OSError(f"{host} is not the name of a host") from fault
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        self._check(host, port, addresses)
        failure: OSError = OSError(f"{host} has no address")
        for address in addresses:
            try:
                # The checked address, not the name. Without this: a second look-up could answer with a
                # machine that only the broker can reach (DNS rebinding, W10).
                return socket.create_connection((address, port), max(ends - time.monotonic(), 0.001))
            except OSError as fault:
                failure = fault
        raise failure

    def _check(self, host: str, port: int, addresses: Iterable[str]) -> None:
        name = _spelled(host)
        if name in self._named or f"{name}:{port}" in self._named:
            return
        # Without this: a tenant could have the broker knock at any machine of the operator's network (W10).
        if not all(is_public(one, may_reach_loopback=self._may_reach_loopback) for one in addresses):
            raise PermissionError(
                f"{host} is not a public address; the operator can name it in directory_hosts"
            )


def _spelled(host: str) -> str:
    return host.strip().rstrip(".").lower().replace("[", "").replace("]", "")
