"""The locked npm packages of the providers that run on Node.js, installed once for all runs."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "node"
FILES = ("package.json", "package-lock.json", ".npmrc", "op.mjs", "saml_idp.mjs")
INSTALL_SECONDS = 300


def install(npm: str) -> tuple[Path | None, str]:
    """Return a directory with the locked packages installed, or None and why not.

    The directory lies outside the working tree, is named by the lock's hash and is shared by later runs.
    """
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-sso-broker-tests"
    place = cache / f"node-{digest}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"node-{digest}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / "complete").exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                for name in FILES:
                    shutil.copy(SOURCE / name, place / name)
                subprocess.run(
                    [npm, "ci"],
                    cwd=place,
                    check=True,
                    timeout=INSTALL_SECONDS,
                    capture_output=True,
                )
                (place / "complete").touch()
    except subprocess.CalledProcessError as error:
        return None, f"npm ci failed: {error.stderr.decode(errors='replace')[-500:]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"npm ci failed: {error}"
    return place, ""
