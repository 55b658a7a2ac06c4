"""The locked npm packages of what runs on Node.js, installed once for all runs."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "node"
FILES = ("package.json", "package-lock.json", ".npmrc")
INSTALL_SECONDS = 300


def install(npm: str) -> tuple[Path | None, str]:
    """Return a directory that holds our scripts beside the locked packages, or None and why not.

    It lies outside the working tree, is named by the hash of what is in it and is shared by later runs.
    """
    digest = _digest(SOURCE / name for name in FILES)
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
    return _scripts_in(place), ""


def _scripts_in(place: Path) -> Path:
    """Copy our scripts below the packages, where Node.js finds them; other versions keep their own copies."""
    scripts = sorted(SOURCE.glob("*.mjs"))
    folder = place / f"scripts-{_digest(scripts)}"
    if not folder.exists():
        made = Path(tempfile.mkdtemp(dir=place))
        for script in scripts:
            shutil.copy(script, made)
        # Renamed when complete: another process may look at the same time.
        with contextlib.suppress(OSError):
            made.rename(folder)
    return folder


def _digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
