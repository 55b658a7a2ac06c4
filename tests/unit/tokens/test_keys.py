"""Signing keys: sealed at rest, published without their private part, rotated and revoked."""

import json

import pytest
from sqlalchemy import select

from broker.kernel.errors import Refusal
from broker.kernel.sealing import SealBroken
from broker.tokens import models
from broker.tokens.access import verify_access_token
from broker.tokens.encoding import decode, encode
from broker.tokens.key_rotation import revoke_key
from broker.tokens.keys import (
    ALGORITHMS,
    create_key,
    find_signing_key,
    public_jwks,
    signing_algorithms,
    signing_key,
    verification_keys,
)
from tests.builders.minting import Mint


def kids(mint: Mint) -> list[str]:
    return [jwk["kid"] for jwk in public_jwks(mint.rt, mint.tenant.id)["keys"]]


def test_the_published_set_holds_public_members_only(mint: Mint):
    for algorithm in ("EdDSA", "RS256"):
        mint.write(
            lambda c, alg=algorithm: create_key(c, mint.rt, mint.tenant.id, "id", now=mint.now, algorithm=alg)
        )
    published = sorted(public_jwks(mint.rt, mint.tenant.id)["keys"], key=lambda jwk: jwk["kty"])
    assert [set(jwk) - {"kid", "alg", "use"} for jwk in published] == [
        {"kty", "crv", "x", "y"},
        {"kty", "crv", "x"},
        {"kty", "n", "e"},
    ]
    assert [jwk["alg"] for jwk in published] == ["ES256", "EdDSA", "RS256"]
    assert set(verification_keys(mint.rt, mint.tenant.id)) == set(kids(mint))


def test_the_private_part_is_sealed_for_its_own_row(mint: Mint):
    with mint.rt.database.core_read() as connection:
        row = connection.execute(select(models.SigningKey.__table__)).one()
    context = f"{mint.tenant.id}/signing_keys/sealed_private/{row.id}"
    assert mint.rt.sealer.open(row.sealed_private, context).startswith(b"0")
    # Without the context, whoever can write rows could have tenant A sign with tenant B's key.
    with pytest.raises(SealBroken):
        mint.rt.sealer.open(row.sealed_private, context.replace(mint.tenant.id, "ten_other"))
    assert b"PRIVATE" not in json.dumps(row.public_jwk).encode()


def test_an_algorithm_that_we_do_not_sign_with_is_refused(mint: Mint):
    with pytest.raises(ValueError, match="HS256"):
        mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, now=mint.now, algorithm="HS256"))


def test_id_tokens_fall_back_to_the_access_key_and_use_their_own_when_there_is_one(mint: Mint):
    access = signing_key(mint.rt, mint.tenant.id)
    assert signing_key(mint.rt, mint.tenant.id, "id").kid == access.kid
    own = mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, "id", now=mint.now))
    assert signing_key(mint.rt, mint.tenant.id, "id").kid == own
    assert signing_key(mint.rt, mint.tenant.id).kid == access.kid


def test_a_use_has_a_key_of_each_algorithm(mint: Mint):
    assert find_signing_key(mint.rt, mint.tenant.id, "id", "RS256") is None
    assert find_signing_key(mint.rt, mint.tenant.id, "id", "ES256") == signing_key(mint.rt, mint.tenant.id)
    made = {
        one: mint.write(
            lambda c, alg=one: create_key(c, mint.rt, mint.tenant.id, "id", now=mint.now, algorithm=alg)
        )
        for one in ("RS256", "PS256")
    }
    for algorithm, kid in made.items():
        found = find_signing_key(mint.rt, mint.tenant.id, "id", algorithm)
        assert found is not None
        assert (found.kid, found.algorithm) == (kid, algorithm)
    # The access key is no key for ID tokens once there is one for these.
    assert find_signing_key(mint.rt, mint.tenant.id, "id", "ES256") is None
    assert signing_algorithms(mint.rt, mint.tenant.id, "id") == ["PS256", "RS256"]
    assert signing_algorithms(mint.rt, mint.tenant.id, "access") == ["ES256"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_access_tokens_of_every_algorithm_verify_and_a_changed_one_does_not(mint: Mint, algorithm: str):
    mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, now=mint.now + 1, algorithm=algorithm))
    token = mint.mint().token
    assert json.loads(decode(token.split(".")[0]))["alg"] == algorithm
    assert verify_access_token(mint.rt, mint.tenant, token, now=mint.now)
    head, payload, signature = token.split(".")
    other = json.dumps({**json.loads(decode(payload)), "scope": "tickets:delete"}).encode()
    for forged in (f"{head}.{encode(other).decode()}.{signature}", f"{head}.{payload}.", token[:-8]):
        with pytest.raises(Refusal) as refused:
            verify_access_token(mint.rt, mint.tenant, forged, now=mint.now)
        assert refused.value.reason in {"bad_signature", "not_a_jwt"}


def test_a_tenant_without_keys_signs_nothing(mint: Mint):
    other = mint.world.tenant("bare")
    with pytest.raises(LookupError):
        signing_key(mint.rt, other.id)
    assert public_jwks(mint.rt, other.id) == {"keys": []}


def test_a_revoked_key_verifies_nothing_and_is_replaced(mint: Mint):
    token = mint.mint()
    (kid,) = kids(mint)
    assert verify_access_token(mint.rt, mint.tenant, token.token, now=mint.now)
    assert mint.write(lambda c: revoke_key(c, mint.rt, mint.tenant.id, kid, now=mint.now))
    # The token was in the cache of verified tokens; that goes with the key.
    with pytest.raises(Refusal) as refused:
        verify_access_token(mint.rt, mint.tenant, token.token, now=mint.now)
    assert refused.value.reason == "key_revoked"
    assert kid not in kids(mint)
    assert verify_access_token(mint.rt, mint.tenant, mint.mint().token, now=mint.now)
    with mint.rt.database.core_read() as connection:
        key = models.SigningKey
        sealed = connection.execute(select(key.sealed_private).where(key.id == kid)).scalar()
    assert sealed == b""


def test_a_key_is_revoked_once_and_only_by_its_own_tenant(mint: Mint):
    (kid,) = kids(mint)
    other = mint.world.tenant("globex")
    assert not mint.write(lambda c: revoke_key(c, mint.rt, other.id, kid, now=mint.now))
    assert kids(mint) == [kid]
    assert mint.write(lambda c: revoke_key(c, mint.rt, mint.tenant.id, kid, now=mint.now))
    assert not mint.write(lambda c: revoke_key(c, mint.rt, mint.tenant.id, kid, now=mint.now))


def test_a_key_can_be_made_in_a_session_of_the_tenant(mint: Mint):
    with mint.rt.database.write(mint.tenant.id) as session:
        made = create_key(session, mint.rt, mint.tenant.id, now=mint.now + 1)
    assert signing_key(mint.rt, mint.tenant.id).kid == made
