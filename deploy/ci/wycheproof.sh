#!/usr/bin/env bash
# The Wycheproof test vectors, fetched by their Go module name and version into Go's own cache, which
# checks them against the public checksums; prints the directory.
set -euo pipefail

module=github.com/C2SP/wycheproof
version=v0.0.0-20250901140545-b51abcfb8daf

cd /
timeout --kill-after=10 240 go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
