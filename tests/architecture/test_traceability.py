"""Every requirement of the protocols has a test that carries its number, or a written reason why not."""

from tests.traceability.proofs import proofs, read


def test_every_requirement_has_a_test_or_a_reason():
    assert set(read("requirements")) - proofs().keys() - read("exemptions").keys() == set()


def test_no_reason_outlives_its_gap():
    assert read("exemptions").keys() & proofs().keys() == set()
    assert set(read("exemptions")) <= set(read("requirements"))
