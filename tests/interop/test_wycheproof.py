"""Wycheproof: no vector that it calls invalid passes our verification of what others sign.

Each valid vector whose key and algorithm we take passes too. HMAC and P-521 are never taken: keys of
others are public ones, of the kinds that ``admit_keys`` lists.
"""

import base64
import json
from collections import Counter
from typing import Any

import pytest
from joserfc import jws

from broker.kernel.errors import Refusal
from broker.resource_server.jwt_parsing import parse_access_token
from broker.resource_server.refusals import TokenRefused
from broker.tokens.foreign_keys import AdmittedKey, admit_keys
from broker.tokens.profiles import UNTYPED, verify_jws
from tests.interop.servers.wycheproof import Vector, Vectors

pytestmark = pytest.mark.interop

ALGORITHMS = frozenset({"ES256", "ES384", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"})
PLAIN = frozenset({UNTYPED, "JWT", "JOSE"})
RAW = {
    "ecdsa_secp256r1_sha256_p1363": "ES256",
    "ecdsa_secp384r1_sha384_p1363": "ES384",
    "ed25519": "EdDSA",
    "rsa_signature_2048_sha256": "RS256",
    "rsa_signature_3072_sha256": "RS256",
    "rsa_pss_2048_sha256_mgf1_32": "PS256",
    "rsa_pss_3072_sha256_mgf1_32": "PS256",
}
PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def test_no_invalid_signature_passes(wycheproof: Vectors):
    tally: Counter[tuple[bool, bool]] = Counter()
    wrong = []
    for vector in wycheproof.read("json_web_signature"):
        keys = admitted([vector.key])
        passed = keys is not None and is_verified(vector.test["jws"], keys)
        tally[vector.is_valid, passed] += 1
        if (passed and not vector.is_valid) or (vector.is_valid and not passed and fits(vector, keys)):
            wrong.append(str(vector))
    assert wrong == []
    assert tally[True, True] >= 25
    assert tally[False, False] >= 350


def test_no_unfit_key_set_verifies_anything(wycheproof: Vectors):
    tally: Counter[tuple[bool, bool]] = Counter()
    for vector in wycheproof.read("json_web_key"):
        keys = admitted(vector.key.get("keys", [vector.key]))
        passed = keys is not None and is_verified(vector.test["jws"], keys)
        assert vector.is_valid or not passed, str(vector)
        tally[vector.is_valid, passed] += 1
    assert tally[True, True] >= 1
    assert tally[False, False] >= 20


@pytest.mark.parametrize("name", RAW)
def test_no_forged_signature_passes(wycheproof: Vectors, name: str):
    algorithm, tally, wrong = RAW[name], Counter[str](), []
    verifier = jws.JWSRegistry.algorithms[algorithm]
    for vector in wycheproof.read(name):
        key = signing_key_of(vector)
        if key is None:
            tally["unfit key"] += 1
            continue
        message, signature = bytes.fromhex(vector.test["msg"]), bytes.fromhex(vector.test["sig"])
        passed = verifier.verify(message, signature, key.key)
        tally["passed" if passed else "refused"] += 1
        if (passed and vector.test["result"] == "invalid") or (vector.is_valid and not passed):
            wrong.append(str(vector))
    assert wrong == []
    assert tally["passed"] > 5
    assert tally["refused"] > 5


def test_nothing_of_it_is_an_access_token(wycheproof: Vectors):
    for vector in wycheproof.read("json_web_signature"):
        with pytest.raises(TokenRefused):
            parse_access_token(vector.test["jws"])


def fits(vector: Vector, keys: dict[str, AdmittedKey] | None) -> bool:
    """Whether the key is one that we take, for the algorithm that the token was signed with."""
    head = vector.test["jws"].partition(".")[0]
    algorithm = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["alg"]
    return keys is not None and any(algorithm in key.algorithms for key in keys.values())


def admitted(keys: list[dict[str, Any]]) -> dict[str, AdmittedKey] | None:
    """Return the public parts of keys as we admit them, or None where we do not."""
    public = [{name: key[name] for name in key if name not in PRIVATE} for key in keys]
    try:
        return admit_keys({"keys": public})
    except Refusal:
        return None


def is_verified(token: str, keys: dict[str, AdmittedKey]) -> bool:
    """Whether our verification takes the signature."""
    try:
        verify_jws(token, keys, typ=PLAIN, algorithms=ALGORITHMS)
    except Refusal:
        return False
    return True


def signing_key_of(vector: Vector) -> AdmittedKey | None:
    """Return the key of a group as we admit it, or None where we do not."""
    key = {name: value for name, value in vector.key.items() if name not in {"alg", "kid"}}
    if "modulus" in key or not key:
        numbers = vector.group["publicKey"]
        key = {
            "kty": "RSA",
            "n": spelled(numbers["modulus"]),
            "e": spelled(numbers["publicExponent"]),
        }
    keys = admitted([key])
    return next(iter(keys.values())) if keys else None


def spelled(number: str) -> str:
    """Return a hexadecimal number as a JWK spells it."""
    raw = bytes.fromhex(number).lstrip(b"\0")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
