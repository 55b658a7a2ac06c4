"""One durable commit for many requests that arrive together.

A thread that finds nobody committing becomes the leader, runs everything that waits in one transaction
and hands leadership to the first that arrived meanwhile. A leader that kept draining the queue would
never answer its own caller.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from broker.kernel.database import Database
from broker.kernel.errors import Refusal

T = TypeVar("T")
Work = Callable[["Transaction"], Any]
Flush = Callable[[Connection, Sequence[Any]], None]
Read = Callable[[Connection, Sequence[Any]], Mapping[Any, Any]]
Ahead = tuple[Read, Hashable]
"""What a work is going to ask ``Transaction.find`` for."""


class Transaction:
    """A shared write transaction: rows of one kind are read together at first and written together at last.

    ``ahead`` is what its works are going to ask ``find`` for.
    """

    def __init__(self, connection: Connection, ahead: Iterable[Ahead] = ()) -> None:
        self.connection = connection
        self._deferred: dict[Flush, list[Any]] = {}
        self._ahead: dict[Read, dict[Hashable, None]] = {}
        for read, key in ahead:
            self._ahead.setdefault(read, {})[key] = None
        self._found: dict[Read, dict[Hashable, Any]] = {}
        _open[connection] = self

    def find(self, read: Read, key: Hashable) -> Any:
        """Return what ``read(connection, keys)`` has for ``key``, or None.

        It is called once for all that the works of the batch announced, and what it found is remembered
        until ``flush``, which whoever ends something calls first (``flush_deferred``).
        """
        found = self._found.setdefault(read, {})
        if key not in found:
            keys = self._ahead.pop(read, {})
            keys[key] = None
            some = read(self.connection, list(keys))
            found.update((one, some.get(one)) for one in keys)
        return found[key]

    def forget(self) -> None:
        """Have ``find`` look again from here on, once for each key.

        Without this: a work could rely on what an earlier one of its batch has just ended.
        """
        self._ahead.clear()
        self._found.clear()

    def defer(self, flush: Flush, item: Any) -> None:
        """Have ``flush(connection, items)`` called once before the commit with all its deferred items."""
        self._deferred.setdefault(flush, []).append(item)

    def deferred(self, flush: Flush) -> Sequence[Any]:
        """Return what waits to be written by ``flush``."""
        return self._deferred.get(flush, ())

    def flush(self) -> None:
        """Write what was deferred, in the order in which the kinds first came; forget what was found."""
        self.forget()
        while self._deferred:
            deferred, self._deferred = self._deferred, {}
            for write, items in deferred.items():
                write(self.connection, items)


# Which shared transaction runs on a connection; gone with the connection object.
_open: WeakKeyDictionary[Connection, Transaction] = WeakKeyDictionary()


def flush_deferred(connection: Connection) -> None:
    """Write what a shared transaction on this connection has deferred so far.

    For statements that must see every row. Without this: a revocation that runs in the same batch as an
    exchange would pass over the child, which would be written after it and live.
    """
    transaction = _open.get(connection)
    if transaction is not None:
        transaction.flush()


class _Ticket:
    __slots__ = ("_answered", "ahead", "error", "must_lead", "result", "work")

    def __init__(self, work: Work, ahead: Sequence[Ahead]) -> None:
        self.work = work
        self.ahead = ahead
        self.result: Any = None
        self.error: BaseException | None = None
        self.must_lead = False
        # A bare lock that is held until there is an answer: an event would cost three locks a request.
        self._answered = threading.Lock()
        self._answered.acquire()

    def wake(self) -> None:
        self._answered.release()

    def wait(self) -> None:
        self._answered.acquire()

    def answer(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class GroupCommitter:
    """Runs works in shared durable transactions; each caller is answered after the commit."""

    def __init__(self, database: Database, max_batch: int = 64) -> None:
        self._database = database
        self._max_batch = max_batch
        self._lock = threading.Lock()
        self._queue: list[_Ticket] = []
        self._is_led = False

    def submit(self, work: Callable[[Transaction], T], ahead: Sequence[Ahead] = ()) -> T:
        """Return what ``work(transaction)`` returned, once it is durable.

        ``ahead`` names what the work will ask ``Transaction.find`` for, to be read with what others ask.
        A ``Refusal`` raised by ``work`` is an answer: what the work wrote before raising is committed
        (a revocation on reuse must survive its refusal). Any other exception undoes the batch, and each
        work is run again alone, so that one fault cannot take others down: a work may run twice and
        must not have effects outside of its transaction.
        """
        ticket = _Ticket(work, ahead)
        with self._lock:
            self._queue.append(ticket)
            leads = not self._is_led
            self._is_led = True
        if not leads:
            ticket.wait()
            leads = ticket.must_lead
        if leads:
            self._lead()
        return cast(T, ticket.answer())

    def _lead(self) -> None:
        with self._lock:
            batch = self._queue[: self._max_batch]
            del self._queue[: self._max_batch]
        try:
            self._commit(batch)
        finally:
            with self._lock:
                heir = self._queue[0] if self._queue else None
                self._is_led = heir is not None
            if heir is not None:
                heir.must_lead = True
                heir.wake()
            for ticket in batch:
                ticket.wake()

    def _commit(self, batch: list[_Ticket]) -> None:
        try:
            self._run(batch)
        except BaseException as fault:  # noqa: BLE001 (handed to the caller who waits for it)
            if len(batch) == 1:
                batch[0].error = fault
                return
            for ticket in batch:
                self._commit([ticket])

    def _run(self, batch: list[_Ticket]) -> None:
        with self._database.core_write() as connection:
            transaction = Transaction(connection, [one for ticket in batch for one in ticket.ahead])
            for ticket in batch:
                ticket.error = None
                try:
                    ticket.result = ticket.work(transaction)
                except Refusal as refusal:
                    ticket.error = refusal
            transaction.flush()
