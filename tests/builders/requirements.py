"""What a test needs from the machine: skip with a reason where it is absent, fail where it is promised.

``BROKER_TEST_REQUIRE`` names what this run is to have: a comma-separated list such as
``postgresql,chromium``, or ``all``. `.ci/run` sets ``all``, so a missing service cannot pass unseen.
Without it no software that we did not write is started, even where it is installed: the plain run takes
minutes and tells everybody the same.
"""

import os
import shutil

import pytest


def is_promised(name: str) -> bool:
    """Whether ``BROKER_TEST_REQUIRE`` names ``name``, so that its absence is a failure."""
    promised = {word.strip() for word in os.environ.get("BROKER_TEST_REQUIRE", "").split(",")}
    return bool(promised & {name, "all"})


def require(name: str, available: bool, reason: str) -> None:
    """Return when ``available``; else skip the test with ``reason``, or fail it when ``name`` is promised."""
    if available:
        return
    message = f"{name} is not available: {reason}"
    if is_promised(name):
        pytest.fail(f"{message} (BROKER_TEST_REQUIRE promises it)", pytrace=False)
    pytest.skip(message)


def require_chosen(name: str) -> None:
    """Return when ``BROKER_TEST_REQUIRE`` names ``name``; else skip the test, installed or not."""
    if not is_promised(name):
        pytest.skip(f"{name} is not switched on: set BROKER_TEST_REQUIRE={name}")


def require_program(name: str, *programs: str) -> str:
    """Return the path of the first of ``programs`` (or of ``name``) that is installed; else see `require`."""
    wanted = programs or (name,)
    for program in wanted:
        path = shutil.which(program)
        if path:
            return path
    require(name, False, f"none of {', '.join(wanted)} is on the PATH")
    raise AssertionError("require() neither returned nor raised")  # pragma: no cover
