"""The mint: claims of protocols §5, and a row that says the same."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from broker.policy.values import Actor
from broker.tokens.keys import create_key, public_jwks, signing_key
from broker.tokens.signing import sign_jwt
from broker.tokens.trees import TreeKey, count_tree
from tests.builders.minting import Mint, Statements
from tests.builders.world import TICKETS


def decode(mint: Mint, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a token as a stranger would, with the published keys and a library."""
    keys = KeySet.import_key_set(public_jwks(mint.rt, mint.tenant.id))  # type: ignore[arg-type]
    found = jwt.decode(token, keys, algorithms=["ES256", "EdDSA"])
    return dict(found.header), dict(found.claims)


def test_a_person_s_token_carries_exactly_the_claims_of_the_profile(mint: Mint):
    issued = mint.mint(
        "planner",
        auth_time=mint.now - 60,
        acr="phr",
        amr=("hwk", "mfa"),
        sid="ses_1",
        txn="txn_1",
        consent_id="cns_1",
        origin_protocol="oidc",
        origin_idp="okta",
        groups_state="complete",
        groups_source="graph",
        groups_at=mint.now - 90,
    )
    header, claims = decode(mint, issued.token)
    assert header["typ"] == "at+jwt"
    assert header["alg"] == "ES256"
    issuer = mint.tenant.issuer
    assert claims == issued.claims
    assert claims == {
        "iss": issuer,
        "sub": mint.maya,
        "sub_profile": "user",
        "aud": TICKETS,
        "client_id": "cli_planner",
        "jti": issued.jti,
        "iat": mint.now,
        "nbf": mint.now,
        "exp": mint.now + 600,
        "scope": "tickets:read",
        "roles": ["support.agent"],
        "auth_time": mint.now - 60,
        "acr": "phr",
        "amr": ["hwk", "mfa"],
        "sid": "ses_1",
        "txn": "txn_1",
        "act": {"sub": mint.agents["planner"].id, "iss": issuer, "sub_profile": "ai_agent"},
        "dlg": {
            "v": 1,
            "tenant": "acme",
            "grant": mint.grant_id,
            "root": issued.jti,
            "depth": 1,
            "max_depth": 4,
            "delegable": True,
            "consent": "cns_1",
            "origin": {"protocol": "oidc", "idp": "okta"},
            "groups": {"state": "complete", "source": "graph", "at": mint.now - 90},
        },
    }


def test_an_agent_alone_has_no_actor_and_nothing_of_a_sign_in(mint: Mint):
    issued = mint.mint(
        "planner", user=False, auth_time=5, acr="phr", amr=("mfa",), sid="x", roles=frozenset()
    )
    claims = issued.claims
    assert claims["sub"] == mint.agents["planner"].id
    assert claims["sub_profile"] == "ai_agent"
    assert claims["dlg"]["depth"] == 0
    assert not {"act", "auth_time", "acr", "amr", "sid", "roles"} & set(claims)
    row = mint.row(issued.jti)
    assert row is not None
    assert row.chain == (mint.agents["planner"].id,)


def test_the_chain_is_nested_with_the_caller_outside_and_the_parent_is_named(mint: Mint):
    root = mint.mint("planner")
    child = mint.mint("writer", "planner", parent=root)
    leaf = mint.mint("helper", "writer", "planner", parent=child)
    ids = {name: agent.id for name, agent in mint.agents.items()}
    act = leaf.claims["act"]
    assert act["sub"] == ids["helper"]
    assert act["act"]["sub"] == ids["writer"]
    assert act["act"]["act"]["sub"] == ids["planner"]
    assert "act" not in act["act"]["act"]
    assert leaf.claims["dlg"]["root"] == root.jti
    assert leaf.claims["dlg"]["parent"] == child.jti
    assert leaf.path == f"/{root.jti}/{child.jti}/{leaf.jti}/"


def test_the_row_says_what_the_token_says(mint: Mint):
    root = mint.mint("planner")
    child = mint.mint("writer", "planner", parent=root)
    row = mint.row(child.jti)
    assert row is not None
    claims = child.claims
    assert (row.jti, row.parent_jti, row.path, row.depth) == (child.jti, root.jti, child.path, 2)
    assert (row.client_id, row.audience) == (claims["client_id"], claims["aud"])
    assert (row.issued_at, row.expires_at) == (claims["iat"], claims["exp"])
    assert row.scopes == frozenset(claims["scope"].split())
    assert row.roles == frozenset(claims["roles"])
    assert (row.user_id, row.connection_id) == (mint.maya, mint.okta.id)
    assert row.chain == (mint.agents["writer"].id, mint.agents["planner"].id)
    assert row.agent_id == mint.agents["writer"].id


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"expires_at": 0}, id="expired"),
        pytest.param({"depth": 5}, id="too-deep"),
        pytest.param({"depth": -1}, id="negative-depth"),
        pytest.param({"parent_jti": "at_x"}, id="parent-without-path"),
        pytest.param({"parent_path": "/at_x/"}, id="path-without-parent"),
        pytest.param({"parent_jti": "at_x", "parent_path": "/at_y/"}, id="path-of-another-parent"),
    ],
)
def test_a_draft_that_cannot_be_honest_is_not_minted(mint: Mint, changes: dict[str, Any]):
    with pytest.raises(ValueError):
        mint.mint(**changes)
    assert mint.live_jtis() == set()
    assert mint.mint().jti in mint.live_jtis()


def test_a_deep_token_with_many_roles_stays_small(mint: Mint):
    actors = tuple(Actor(mint.tenant.issuer, f"agt_{'x' * 20}") for _ in range(4))
    roles = frozenset(f"department.{number:02}.reviewer" for number in range(20))
    issued = mint.mint(
        chain=actors, depth=4, roles=roles, acr="phr", amr=("hwk", "mfa"), sid="ses_" + "x" * 20
    )
    assert len(issued.token) <= 4096


def test_tokens_that_are_committed_together_are_written_together(mint: Mint):
    with Statements(mint.rt.database.engine) as seen:
        mint.rt.committer.submit(lambda tx: [mint.issue(tx) for _ in range(5)])
    assert seen.count("INSERT INTO ISSUED_TOKENS") == 1
    assert len(mint.live_jtis()) == 5


def test_the_size_of_a_tree_counts_what_waits_to_be_written(mint: Mint):
    root = mint.mint()
    other = mint.mint()
    child = mint.mint("writer", "planner", parent=root)
    mint.mint("helper", "writer", "planner", parent=child)

    def count_and_mint(tx: Any) -> list[tuple[int, int]]:
        sizes = []
        for _ in range(2):
            size = count_tree(tx, TreeKey(mint.tenant.id, root.path, root.jti, mint.now))
            sizes.append((size.tokens, size.children))
            mint.issue(tx, "writer", "planner", parent=root)
            mint.issue(tx, "writer", "planner", parent=other)
        return sizes

    assert mint.rt.committer.submit(count_and_mint) == [(3, 1), (4, 2)]


def test_an_ed25519_key_signs_what_a_stranger_can_verify(mint: Mint):
    mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, now=mint.now + 1, algorithm="EdDSA"))
    issued = mint.mint()
    header, claims = decode(mint, issued.token)
    assert header["alg"] == "EdDSA"
    assert claims == issued.claims


def test_the_header_is_made_once_and_says_only_what_is_needed(mint: Mint):
    key = signing_key(mint.rt, mint.tenant.id)
    header, claims = decode(mint, sign_jwt(key, "JWT", {"sub": "x"}))
    assert header == {"typ": "JWT", "alg": "ES256", "kid": key.kid}
    assert claims == {"sub": "x"}
