"""Pages that are made when they are needed: once, by one thread, and again after a fault."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from broker.late_pages import LatePages


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


def ask(pages: LatePages) -> list[bytes]:
    return list(pages({}, lambda status, headers: None))


def test_many_first_requests_make_them_once() -> None:
    callers = 8
    made: list[int] = []
    together = threading.Barrier(callers)

    def make() -> Any:
        made.append(1)
        return hello

    pages = LatePages(make)

    def call(_: int) -> list[bytes]:
        together.wait(10)
        return ask(pages)

    with ThreadPoolExecutor(callers) as pool:
        assert list(pool.map(call, range(callers))) == [[b"hello"]] * callers
    assert made == [1]


def test_they_get_ready_without_a_request() -> None:
    ready = threading.Event()

    def make() -> Any:
        ready.set()
        return hello

    pages = LatePages(make)
    pages.get_ready_in(0).join(10)
    assert ready.is_set()
    assert ask(pages) == [b"hello"]


def test_a_fault_is_told_and_the_next_request_tries_again() -> None:
    faults = [RuntimeError("no templates")]

    def make() -> Any:
        if faults:
            raise faults.pop()
        return hello

    pages = LatePages(make)
    with pytest.raises(RuntimeError, match="no templates"):
        ask(pages)
    assert ask(pages) == [b"hello"]
