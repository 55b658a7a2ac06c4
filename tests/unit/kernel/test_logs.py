"""Log lines: one event is one line of JSON, and no secret is in it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from broker.kernel.ids import new_id, new_secret
from broker.kernel.logs import REDACTED, bind_call, configure_logs, get_logger, unbind_call

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJl"


class Lines:
    """What was written."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return found


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    written = Lines()
    configure_logs("debug", written.stream)
    yield written
    unbind_call()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_line_says_what_when_where_and_in_which_request(lines: Lines):
    bind_call("req_1", "acme")
    get_logger("tokens").info("minted", jti="at_1", depth=2, live=True, rest=None)
    told = lines.last
    assert told.pop("timestamp").endswith("Z")
    assert told == {
        "event": "minted",
        "level": "info",
        "logger": "tokens",
        "request_id": "req_1",
        "tenant": "acme",
        "jti": "at_1",
        "depth": 2,
        "live": True,
        "rest": None,
    }
    unbind_call()
    get_logger("tokens").info("next")
    assert "request_id" not in lines.last


def test_a_line_below_the_level_is_not_written(lines: Lines):
    configure_logs("warning", lines.stream)
    get_logger("x").info("quiet")
    assert lines.text == ""
    get_logger("x").warning("loud")
    assert lines.last["event"] == "loud"


@pytest.mark.parametrize(
    "name",
    [
        "code",
        "code_verifier",
        "client_secret",
        "password",
        "Authorization",
        "Cookie",
        "set-cookie",
        "SAMLResponse",
        "saml_request",
        "client_assertion",
        "assertion",
        "access_token",
        "refresh_token",
        "subject_token",
        "id_token",
        "token",
        "private_key",
        "csrf",
        "nonce",
        "credential",
    ],
)
def test_a_value_goes_by_its_name(lines: Lines, name: str):
    value = "short-and-harmless-looking"
    get_logger("x").info("event", **{name: value}, nested={name: [value]})
    assert value not in lines.text
    assert lines.last[name] == REDACTED


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param(f"Authorization: Bearer {JWT}", JWT, id="bearer"),
        pytest.param("authorization: basic Y2xpOnNlY3JldA==", "Y2xpOnNlY3JldA", id="basic"),
        pytest.param("DPoP abcdefghij", "abcdefghij", id="dpop"),
        pytest.param(f"got {JWT} from a client", JWT, id="jwt"),
        pytest.param("eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJub25lIn0", id="unsigned-jwt"),
        pytest.param(
            "/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj", "SplxlOBeZQQYbYS6WxSbIA", id="code"
        ),
        pytest.param("/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj", "af0ifjsldkj", id="state"),
        pytest.param("{'refresh_token': 'tGzv3JOkF0XG5Qx2TlKWIA'}", "tGzv3JOkF0XG5Qx2TlKWIA", id="repr"),
        pytest.param('{"client_secret": "gX1fBat3bV"}', "gX1fBat3bV", id="json"),
        pytest.param("password=hunter2hunter2", "hunter2hunter2", id="password"),
        pytest.param("SAMLResponse=PHNhbWxwOlJlc3BvbnNl", "PHNhbWxwOlJlc3BvbnNl", id="saml"),
        pytest.param("A" * 43, "A" * 43, id="secret-of-256-bits"),
        pytest.param("PD94bWwg" * 40 + "==", "PD94bWwgPD94", id="long-base64"),
    ],
)
def test_a_value_goes_by_its_look(lines: Lines, text: str, secret: str):
    get_logger("x").info("event", note=text, deep=[{"note": text}])
    logging.getLogger("library").warning("it said %s", text)
    get_logger("x").info(text)
    assert secret not in lines.text
    assert len(lines.text.splitlines()) == 3


def test_what_is_no_secret_stays_readable(lines: Lines):
    ours = new_id("at")
    get_logger("x").info(
        "token_refused", jti=ours, status_code=400, error_code="e", scope="tickets:read openid"
    )
    told = lines.last
    assert told["jti"] == ours
    assert told["status_code"] == 400
    assert told["error_code"] == "e"
    assert told["scope"] == "tickets:read openid"
    assert told["event"] == "token_refused"


def test_our_own_secrets_never_pass(lines: Lines):
    for _ in range(50):
        secret = new_secret()
        get_logger("x").info("event", note=secret, text=f"the cookie was {secret}.", path=f"/link/{secret}/x")
        assert secret not in lines.text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\nb", id="line-feed"),
        pytest.param("a\r\nb", id="carriage-return"),
        pytest.param('a"}\n{"event":"forged', id="json-break"),
        pytest.param("a\x1b[2Jb", id="terminal-escape"),
        pytest.param("a\u2028b\u2029c\x85d", id="unicode-line-ends"),
        pytest.param("a\x00b\x7fc\x9bd", id="control-characters"),
        pytest.param("a\ud800b", id="half-a-character"),
    ],
)
def test_w17_one_event_is_one_line(lines: Lines, text: str):
    get_logger("x").info(text, note=text, name=text)
    logging.getLogger("library").warning("%s", text)
    assert len(lines.text.splitlines()) == 2
    assert all(32 <= ord(character) < 127 or character == "\n" for character in lines.text)
    assert lines.last["event"] == text


def test_an_exception_is_one_redacted_line(lines: Lines):
    try:
        raise ValueError(f"bad token {JWT}\nsecond line")
    except ValueError:
        get_logger("x").error("failed", exc_info=True)
    assert JWT not in lines.text
    assert len(lines.text.splitlines()) == 1
    assert "ValueError" in lines.last["exception"]


def test_an_endless_value_is_cut(lines: Lines):
    get_logger("x").info("event", note="a b " * 100_000)
    assert len(lines.text) < 10_000


def test_a_value_that_is_no_json_is_told_by_its_name(lines: Lines):
    get_logger("x").info("event", thing={1, 2}, other=object(), blob=b"x")
    told = lines.last
    assert told["thing"] == [1, 2]
    assert told["other"].startswith("<object")
    assert told["blob"] == "b'x'"


def test_lines_go_to_standard_error_unless_another_stream_is_given(
    lines: Lines, capsys: pytest.CaptureFixture[str]
):
    configure_logs("info")
    get_logger("x").info("event")
    written = capsys.readouterr()
    assert json.loads(written.err)["event"] == "event"
    assert written.out == lines.text == ""
