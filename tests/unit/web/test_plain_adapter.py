"""The bridge between Flask and plain endpoint functions loses and adds nothing."""

from broker.kernel.plain import PlainReply
from broker.web.plain_adapter import flask_response, plain_request
from tests.builders.site import Site, open_site


def test_a_request_arrives_as_it_was_sent(sqlite_url: str, tmp_path) -> None:
    with open_site(sqlite_url, tmp_path) as site:
        request = plain_request_of(site)
    assert request.method == "POST"
    assert request.path == "/t/acme/token"
    assert request.query_string == "a=1&b=%20"
    assert request.headers["x-odd"] == "Value"
    assert request.body == b"grant_type=x"
    assert request.ctx.request_id.startswith("req_")


def plain_request_of(site: Site):
    with site.app.test_request_context(
        "/t/acme/token?a=1&b=%20", method="POST", data=b"grant_type=x", headers={"X-Odd": "Value"}
    ):
        return plain_request()


def test_a_reply_leaves_as_it_was_made() -> None:
    response = flask_response(
        PlainReply(401, b"{}", [("Content-Type", "application/json"), ("X-A", "1"), ("X-A", "2")])
    )
    assert response.status_code == 401
    assert response.get_data() == b"{}"
    assert response.headers.getlist("X-A") == ["1", "2"]
    assert "Content-Type" in response.headers
    assert "text/html" not in str(flask_response(PlainReply(204, b"", [])).headers)
