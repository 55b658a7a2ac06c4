#!/usr/bin/env bash
# Makes the environment that the Makefile runs in.
#
#   deploy/setup.sh stamp          prints the file that stands for an up-to-date environment
#   deploy/setup.sh venv STAMP     makes .venv from the hashed lock and writes that file
#   deploy/setup.sh lock [OPTION]  resolves pyproject.toml into the locks
set -euo pipefail
cd "$(dirname "$0")/.."

LOCK=deploy/requirements-dev.lock

is_usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && is_usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed; found: $(python3 --version 2>&1 || echo none)." \
        "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
}

# A change of either file, and nothing else, makes the environment stale.
stamp() {
    echo ".venv/stamp-$(cat pyproject.toml "$LOCK" | cksum | tr -d ' ')"
}

make_venv() {
    local stamp_file=$1 python
    python=$(find_python)
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python cannot make environments. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    if [ ! -x .venv/bin/python ] || ! is_usable .venv/bin/python; then
        rm -rf .venv
        "$python" -m venv .venv
    fi
    # Without the hashes: whoever can answer for the package index chooses what runs here.
    # The lock is whole, so nothing is resolved. Without --no-deps: pip looks at a release newer than the
    # pinned one for `coverage[toml]`, finds no hash for it and gives up, on the day that one appears.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
        --requirement "$LOCK"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    rm -f .venv/stamp-*
    touch "$stamp_file"
}

compile_lock() {
    local output=$1
    shift
    build/lock-tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --output-file "$output" "$@"
}

make_locks() {
    if [ ! -x build/lock-tools/bin/uv ]; then
        "$(find_python)" -m venv build/lock-tools
        build/lock-tools/bin/python -m pip install --quiet --disable-pip-version-check uv
    fi
    compile_lock deploy/requirements.lock pyproject.toml --extra postgres "$@"
    # The same versions in all: what is tested is what runs.
    compile_lock "$LOCK" pyproject.toml --all-extras --constraint deploy/requirements.lock "$@"
    echo hatchling | compile_lock deploy/requirements-build.lock - --constraint "$LOCK" "$@"
}

case "${1:-}" in
    stamp) stamp ;;
    venv) make_venv "${2:?the stamp file}" ;;
    lock) shift; make_locks "$@" ;;
    *) echo "usage: $0 stamp|venv STAMP|lock [OPTION]" >&2; exit 2 ;;
esac
