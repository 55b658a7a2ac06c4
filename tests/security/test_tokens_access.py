"""Our own access tokens: O01 to O07 and O35, T03, and what the cache of verified tokens must not do."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from broker.kernel.errors import ErrorCode, Refusal
from broker.tokens import encoding
from broker.tokens.access import MAX_TOKEN_CHARS, verify_access_token
from broker.tokens.keys import create_key, public_jwks, signing_key, tenant_keys
from broker.tokens.signing import sign_jwt
from broker.tokens.switching_off import end_tenant, switch_on
from broker.tokens.verified_cache import VerifiedAccessToken, VerifiedCache
from tests.builders.minting import Mint
from tests.builders.world import open_world


@pytest.fixture
def mint(sqlite_url: str, tmp_path: Path) -> Iterator[Mint]:
    """Verification asks the database for keys only, so one kind of database will do."""
    with open_world(sqlite_url, tmp_path) as world:
        yield Mint(world)


def reason(mint: Mint, token: str) -> str:
    with pytest.raises(Refusal) as refused:
        verify_access_token(mint.rt, mint.tenant, token, now=mint.now)
    assert refused.value.code == ErrorCode.INVALID_TOKEN
    return refused.value.reason


def passes(mint: Mint, token: str) -> bool:
    return bool(verify_access_token(mint.rt, mint.tenant, token, now=mint.now).jti)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_header(token: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    header, payload, signature = token.split(".")
    told = json.loads(encoding.decode(header))
    return f"{b64(json.dumps(change(told), separators=(',', ':')).encode())}.{payload}.{signature}"


def resigned(mint: Mint, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token with any header, really signed by the tenant's own key."""
    key = signing_key(mint.rt, mint.tenant.id)
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    der = key.private.sign(signed.encode(), ec.ECDSA(SHA256()))  # type: ignore[call-arg, arg-type]
    r, s = decode_dss_signature(der)
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def test_a_token_says_what_was_minted(mint: Mint):
    issued = mint.mint()
    for _ in range(2):
        found = verify_access_token(mint.rt, mint.tenant, issued.token, now=mint.now)
        assert found.claims == issued.claims
        assert (found.jti, found.issued_at, found.expires_at) == (issued.jti, mint.now, issued.expires_at)
        assert found.kid == signing_key(mint.rt, mint.tenant.id).kid


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256", "RS256", "ES384"])
def test_o01_o02_only_the_algorithm_of_the_key(mint: Mint, alg: str):
    token = mint.mint().token
    assert reason(mint, with_header(token, lambda header: {**header, "alg": alg})) == "not_our_token"
    unsigned = with_header(token, lambda header: {**header, "alg": alg}).rpartition(".")[0] + "."
    assert reason(mint, unsigned) == "not_our_token"
    assert passes(mint, token)


def test_o02_the_published_key_is_no_secret(mint: Mint):
    token = mint.mint().token
    jwk = public_jwks(mint.rt, mint.tenant.id)["keys"][0]
    for secret in (json.dumps(jwk).encode(), encoding.decode(jwk["x"])):
        forged = jws.serialize_compact(
            {"typ": "at+jwt", "alg": "HS256", "kid": jwk["kid"]},
            encoding.decode(token.split(".")[1]),
            OctKey.import_key(b64(secret)),
            algorithms=["HS256"],
        )
        assert reason(mint, forged) == "not_our_token"
    assert passes(mint, token)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"jwk": {"kty": "EC"}}, id="O03-jwk"),
        pytest.param({"jku": "http://127.0.0.1:9/"}, id="O04-jku"),
        pytest.param({"x5u": "http://127.0.0.1:9/"}, id="O04-x5u"),
        pytest.param({"x5c": ["MIIB"]}, id="O04-x5c"),
        pytest.param({"kid": "../../dev/null"}, id="O05-path"),
        pytest.param({"kid": "' OR 1=1 --"}, id="O05-sql"),
        pytest.param({"kid": ["x"]}, id="O05-not-a-text"),
        pytest.param({"crit": ["exp"]}, id="O06-crit"),
        pytest.param({"b64": False}, id="O06-b64"),
        pytest.param({"typ": "JWT"}, id="O35-id-token"),
        pytest.param({"typ": "AT+JWT"}, id="O35-other-case"),
        pytest.param({"typ": "logout+jwt"}, id="O35-logout-token"),
        pytest.param({"typ": None}, id="O35-untyped"),
    ],
)
def test_a_header_that_we_would_not_write_is_not_ours_even_when_we_signed_it(
    mint: Mint, extra: dict[str, Any]
):
    issued = mint.mint()
    header = {"typ": "at+jwt", "alg": "ES256", "kid": signing_key(mint.rt, mint.tenant.id).kid, **extra}
    assert reason(mint, resigned(mint, header, issued.claims)) == "not_our_token"
    assert passes(mint, sign_jwt(signing_key(mint.rt, mint.tenant.id), "at+jwt", issued.claims))


def test_o35_an_id_token_of_ours_is_no_access_token(mint: Mint):
    own = mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, "id", now=mint.now))
    issued = mint.mint()
    for kid_use in ("access", "id"):
        key = signing_key(mint.rt, mint.tenant.id, kid_use)
        assert reason(mint, sign_jwt(key, "JWT", issued.claims)) == "not_our_token"
    # A key for ID tokens signs no access token, whatever the kind in the header.
    id_key = signing_key(mint.rt, mint.tenant.id, "id")
    assert id_key.kid == own
    assert reason(mint, sign_jwt(id_key, "at+jwt", issued.claims)) == "not_our_token"
    assert passes(mint, issued.token)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b", id="two-parts"),
        pytest.param("\u00e9.\u00e9.\u00e9", id="not-ascii"),
        pytest.param("\ud800.b.c", id="half-a-character"),
        pytest.param("...", id="dots"),
    ],
)
def test_what_is_not_a_jwt_is_refused_quietly(mint: Mint, token: str):
    assert reason(mint, token) in {"not_a_jwt", "not_our_token"}


def test_o07_an_oversized_token_is_refused_before_it_is_hashed(mint: Mint, monkeypatch: pytest.MonkeyPatch):
    token = mint.mint().token

    def fail(_data: bytes) -> None:
        raise AssertionError("it was hashed")

    with monkeypatch.context() as patched:
        patched.setattr("broker.tokens.access.hashlib.sha256", fail)
        assert reason(mint, token + "A" * MAX_TOKEN_CHARS) == "token_too_large"
    assert passes(mint, token)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}=", "not_a_jwt", id="padding"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\n", "not_a_jwt", id="line-break"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}.x", "not_a_jwt", id="four-parts"),
        pytest.param(lambda h, p, s: f"{h}.{p}.", "bad_signature", id="no-signature"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{b64(bytes(64))}", "bad_signature", id="zeroes"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{b64(bytes(63))}", "bad_signature", id="short"),
        pytest.param(
            lambda h, p, s: f"{h}.{b64(encoding.decode(p).replace(b'tickets:read', b'tickets:writ'))}.{s}",
            "bad_signature",
            id="scope-changed",
        ),
        pytest.param(
            lambda h, p, s: f"{h}.{p}.{b64(der_of(encoding.decode(s)))}", "bad_signature", id="der-signature"
        ),
    ],
)
def test_what_was_altered_is_refused(mint: Mint, change: Callable[[str, str, str], str], why: str):
    token = mint.mint().token
    assert reason(mint, change(*token.split("."))) == why
    assert passes(mint, token)


def der_of(raw: bytes) -> bytes:
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    assert decode_dss_signature(der)
    return der


def test_a_stranger_s_key_under_our_key_id_is_refused(mint: Mint):
    issued = mint.mint()
    kid = signing_key(mint.rt, mint.tenant.id).kid
    stranger = ECKey.generate_key("P-256", private=True)
    header, payload, _ = issued.token.split(".")
    forged = jws.serialize_compact(
        json.loads(encoding.decode(header)), encoding.decode(payload), stranger, algorithms=["ES256"]
    )
    assert json.loads(encoding.decode(forged.split(".")[0]))["kid"] == kid
    assert reason(mint, forged) in {"bad_signature", "not_our_token"}


def test_a_token_ends_in_its_last_second_also_from_the_cache(mint: Mint):
    token = mint.mint().token
    mint.world.clock.advance(599)
    assert passes(mint, token)
    mint.world.clock.advance(1)
    assert reason(mint, token) == "token_expired"
    assert reason(mint, token) == "token_expired"


def test_t03_a_token_of_another_tenant_is_refused_also_when_cached(mint: Mint):
    theirs = Mint(mint.world, "globex")
    token = mint.mint().token
    assert passes(mint, token)
    assert reason(theirs, token) == "not_our_token"
    assert passes(mint, token)


def test_a_renamed_tenant_does_not_take_tokens_of_its_former_name(mint: Mint):
    key = signing_key(mint.rt, mint.tenant.id)
    claims = {**mint.mint().claims, "iss": "http://127.0.0.1:8080/t/former"}
    assert reason(mint, sign_jwt(key, "at+jwt", claims)) == "wrong_issuer"


def test_a_tenant_s_cutoff_holds_for_cached_tokens(mint: Mint):
    early = mint.mint().token
    assert passes(mint, early)
    mint.write(lambda c: end_tenant(c, mint.tenant.id, "test", mint.now))
    mint.write(lambda c: switch_on(c, mint.tenant.id, "tenant", mint.tenant.id, mint.now))
    mint.refresh()
    assert reason(mint, early) == "tenant_cutoff"
    mint.world.clock.advance(1)
    assert passes(mint, mint.mint().token)


def test_what_old_keys_verified_never_enters_the_cache_of_new_ones(mint: Mint):
    token = mint.mint().token
    before = tenant_keys(mint.rt, mint.tenant.id)
    mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, now=mint.now + 1))
    after = tenant_keys(mint.rt, mint.tenant.id)
    assert after.verified is not before.verified
    assert passes(mint, token)


def test_the_cache_is_bounded_and_forgets_the_oldest():
    cache = VerifiedCache(max_tokens=3)
    tokens = [VerifiedAccessToken(f"at_{n}", "k", {}, 0, 10) for n in range(5)]
    for number, token in enumerate(tokens):
        cache.keep(bytes([number]), token)
    assert [cache.find(bytes([number])) for number in range(5)] == [None, None, *tokens[2:]]
    cache.drop(bytes([4]))
    cache.drop(bytes([4]))
    assert cache.find(bytes([4])) is None
