"""Who is calling: believed only as far as the operator's proxies reach."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker.kernel.runtime import Runtime
from broker.web.callers import read_context
from tests.builders.world import open_world


@pytest.fixture
def rt(sqlite_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with open_world(sqlite_url, tmp_path) as world:
        yield world.rt


def behind(rt: Runtime, proxies: int) -> Runtime:
    return replace(rt, settings=rt.settings.model_copy(update={"trusted_proxies": proxies}))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        pytest.param(0, "", "10.0.0.9", id="no-proxy"),
        pytest.param(0, "1.2.3.4", "10.0.0.9", id="no-proxy-spoofed"),
        pytest.param(1, "1.2.3.4", "1.2.3.4", id="one-proxy"),
        pytest.param(1, "6.6.6.6, 1.2.3.4", "1.2.3.4", id="one-proxy-spoofed"),
        pytest.param(2, "6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4", id="two-proxies-spoofed"),
        pytest.param(2, "1.2.3.4", "10.0.0.9", id="fewer-hops-than-proxies"),
        pytest.param(1, "nonsense", "10.0.0.9", id="no-address"),
        pytest.param(1, "", "10.0.0.9", id="proxy-said-nothing"),
        pytest.param(1, "2001:db8::1", "2001:db8::1", id="ipv6"),
    ],
)
def test_the_address_is_the_one_that_our_outermost_proxy_saw(
    rt: Runtime, proxies: int, forwarded: str, expected: str
) -> None:
    environ = {"REMOTE_ADDR": "10.0.0.9"}
    if forwarded:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert read_context(environ, behind(rt, proxies)).ip == expected


@pytest.mark.parametrize(
    ("proxies", "given", "is_taken"),
    [
        pytest.param(1, "edge-0123456789", True, id="from-our-proxy"),
        pytest.param(0, "edge-0123456789", False, id="from-a-caller"),
        pytest.param(1, "short", False, id="too-short"),
        pytest.param(1, "x" * 65, False, id="too-long"),
        pytest.param(1, "edge 0123456789", False, id="with-space"),
        pytest.param(1, "edge\n0123456789", False, id="with-line-break"),
        pytest.param(1, "", False, id="empty"),
    ],
)
def test_a_request_id_is_taken_from_our_proxy_only(
    rt: Runtime, proxies: int, given: str, is_taken: bool
) -> None:
    found = read_context({"HTTP_X_REQUEST_ID": given}, behind(rt, proxies)).request_id
    assert (found == given) is is_taken
    if not is_taken:
        assert found.startswith("req_")


def test_the_time_is_the_clocks_and_the_user_agent_is_cut(rt: Runtime) -> None:
    ctx = read_context({"HTTP_USER_AGENT": "x" * 1000}, rt)
    assert ctx.now == rt.clock.now()
    assert len(ctx.user_agent) == 200
