"""O23 to O26 at registration: each hostile address beside an honest one of the same shape."""

import pytest

from broker.agents.redirect_uris import check_redirect_uri
from broker.kernel.errors import ErrorCode, Refusal


@pytest.mark.parametrize(
    ("uri", "application_type"),
    [
        pytest.param("https://app.example/callback", "web", id="plain"),
        pytest.param("https://app.example", "web", id="no-path"),
        pytest.param("https://app.example:8443/cb?tenant=7&mode=a;b", "web", id="port-and-query"),
        pytest.param("https://xn--bcher-kva.example/cb", "web", id="idn-as-ascii"),
        pytest.param("https://app.example/a..b/c.d/%41", "web", id="dots-that-do-not-climb"),
        pytest.param("http://127.0.0.1/cb", "native", id="loopback"),
        pytest.param("http://127.0.0.1:49152/cb", "native", id="loopback-with-port"),
        pytest.param("http://[::1]:8000/cb", "native", id="loopback-v6"),
        pytest.param("http://localhost:8000/cb", "native", id="loopback-by-name"),
        pytest.param("https://app.example/cb?coded=1&my_state=2", "web", id="names-that-only-resemble"),
    ],
)
def test_an_honest_address_is_accepted(uri: str, application_type: str):
    check_redirect_uri(uri, application_type)


@pytest.mark.parametrize(
    ("uri", "application_type"),
    [
        pytest.param("", "web", id="O23-empty"),
        pytest.param("/callback", "web", id="O23-relative"),
        pytest.param("//app.example/cb", "web", id="O23-no-scheme"),
        pytest.param("https:app.example/cb", "web", id="O23-no-slashes"),
        pytest.param("https:///cb", "web", id="O23-no-host"),
        pytest.param("https://app.example/cb#top", "web", id="O23-fragment"),
        pytest.param("https://app.example/cb#", "web", id="O23-empty-fragment"),
        pytest.param("https://app.example@evil.example/cb", "web", id="O23-userinfo"),
        pytest.param("https://a@b@evil.example/cb", "web", id="O23-double-at"),
        pytest.param("https://app.example\\@evil.example/cb", "web", id="O23-backslash"),
        pytest.param("https://app.example/\tcb", "web", id="O23-tab"),
        pytest.param("https://app.example/cb\n", "web", id="O23-line-break"),
        pytest.param("https://app.example/c b", "web", id="O23-space"),
        pytest.param("https://*.app.example/cb", "web", id="O23-wildcard-host"),
        pytest.param("https://app.example/*", "web", id="O23-wildcard-path"),
        pytest.param("https://App.example/cb", "web", id="O23-host-in-upper-case"),
        pytest.param("HTTPS://app.example/cb", "web", id="O23-scheme-in-upper-case"),
        pytest.param("https://app.example:443/cb", "web", id="O23-default-port"),
        pytest.param("http://127.0.0.1:80/cb", "native", id="O23-default-port-of-http"),
        pytest.param("https://app.example:/cb", "web", id="O23-empty-port"),
        pytest.param("https://app.example:99999/cb", "web", id="O23-port-out-of-range"),
        pytest.param("https://bücher.example/cb", "web", id="O23-idn"),
        pytest.param("https://app%2eexample/cb", "web", id="O23-encoded-host"),
        pytest.param("https://app.example./cb", "web", id="O23-final-dot"),
        pytest.param("https://app..example/cb", "web", id="O23-empty-label"),
        pytest.param("https://app.example/a/../open", "web", id="O23-climbing"),
        pytest.param("https://app.example/a/./open", "web", id="O23-standing"),
        pytest.param("https://app.example/a/..;/open", "web", id="O23-climbing-with-parameter"),
        pytest.param("https://app.example/a/%2e%2e/open", "web", id="O23-climbing-encoded"),
        pytest.param("https://app.example/a/%252e%252e/open", "web", id="O23-climbing-encoded-twice"),
        pytest.param("https://app.example/a/..%2fopen", "web", id="O23-encoded-slash"),
        pytest.param("https://app.example/a%5c..%5copen", "web", id="O23-encoded-backslash"),
        pytest.param("https://app.example/%zz", "web", id="O23-broken-escape"),
        pytest.param("https://app.example/" + "a" * 2000, "web", id="O23-longer-than-the-column"),
        pytest.param("https://[::1/cb", "web", id="O23-open-bracket"),
        pytest.param("http://localhost.evil.example/cb", "native", id="O24-localhost-as-prefix"),
        pytest.param("http://127.0.0.1.evil.example/cb", "native", id="O24-address-as-prefix"),
        pytest.param("http://localhost:80@evil.example/cb", "native", id="O24-localhost-as-user"),
        pytest.param("http://127.1/cb", "native", id="O24-short-address"),
        pytest.param("http://2130706433/cb", "native", id="O24-address-as-number"),
        pytest.param("http://0.0.0.0/cb", "native", id="O24-any-address"),
        pytest.param("http://127.0.0.1/cb", "web", id="O24-loopback-for-a-web-client"),
        pytest.param("http://app.example/cb", "native", id="O24-http-in-the-open"),
        pytest.param("javascript:alert(1)", "native", id="O25-javascript"),
        pytest.param("JaVaScRiPt:alert(1)", "native", id="O25-javascript-mixed-case"),
        pytest.param("data:text/html,x", "web", id="O25-data"),
        pytest.param("com.example.app:/cb", "native", id="O25-own-scheme"),
        pytest.param("file:///etc/passwd", "native", id="O25-file"),
        pytest.param("https://app.example/cb?code=x", "web", id="O26-code"),
        pytest.param("https://app.example/cb?a=1&state=x", "web", id="O26-state"),
        pytest.param("https://app.example/cb?iss", "web", id="O26-iss-without-value"),
        pytest.param("https://app.example/cb?a=1;error=x", "web", id="O26-behind-a-semicolon"),
        pytest.param("https://app.example/cb?c%6fde=x", "web", id="O26-encoded-name"),
        pytest.param("https://app.example/cb?response=x", "web", id="O26-response"),
    ],
)
def test_a_hostile_address_is_refused(uri: str, application_type: str):
    with pytest.raises(Refusal) as refused:
        check_redirect_uri(uri, application_type)
    assert refused.value.code is ErrorCode.BAD_CONFIGURATION
    assert refused.value.reason == "bad_redirect_uri"
