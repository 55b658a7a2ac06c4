"""Pages of a list, and browsers by their names."""

import pytest

from broker.admin.browsers import name_browser
from broker.admin.paging import cut_page


def ids(after: str, size: int = 2) -> tuple[tuple[str, ...], str]:
    page = cut_page(["a", "b", "c", "d", "e"], lambda item: item, after, size)
    assert page.total == 5
    return page.items, page.next_after


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    assert ids("") == (("a", "b"), "b")
    assert ids("b") == (("c", "d"), "d")
    assert ids("d") == (("e",), "")


def test_an_exact_page_has_no_next_one() -> None:
    assert ids("", 5) == (("a", "b", "c", "d", "e"), "")


@pytest.mark.parametrize("after", ["", "zz", "' OR 1=1"])
def test_an_unknown_place_begins_at_the_start(after: str) -> None:
    assert ids(after)[0] == ("a", "b")


def test_behind_the_last_there_is_nothing() -> None:
    assert ids("e") == ((), "")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/141.0.0.0 Safari/537.36 Edg/141.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
            "Chrome on Android",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("curl/8.0", ""),
        ("", ""),
        ("<script>Firefox/1</script>", "Firefox"),
    ],
)
def test_browsers_are_named(header: str, words: str) -> None:
    assert name_browser(header) == words
