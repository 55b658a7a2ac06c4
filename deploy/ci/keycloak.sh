#!/usr/bin/env bash
# Keycloak for the interoperability tests: fetched by its Maven name, checked against the hash below,
# unpacked and built once for the in-memory database, in the user's cache outside the working tree.
#
#   deploy/ci/keycloak.sh        fetches what is absent; prints the directory
#   deploy/ci/keycloak.sh place  prints the directory, there or not
set -euo pipefail

version=26.5.6
sha256=fa3dd5df90b9ac006712c2f0991be4e8a6cb30ac538e0439ce2f45fc40f4c692
cache=${XDG_CACHE_HOME:-$HOME/.cache}/agent-sso-broker-tests
# The hash stands in the name: another distribution never passes for this one.
place=$cache/keycloak-$version-${sha256:0:12}

fetch() { # fetch DIRECTORY
    local try
    # A registry that does not answer once may answer again; one that hangs must not hold the whole check.
    for try in 1 2 3; do
        if timeout --kill-after=10 240 mvn --batch-mode --quiet \
            org.apache.maven.plugins:maven-dependency-plugin:2.8:copy \
            -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:tar.gz" \
            -DoutputDirectory="$1" >&2; then
            return
        fi
        echo "keycloak.sh: attempt $try to fetch Keycloak $version failed" >&2
    done
    return 1
}

if [ "${1:-}" = place ]; then
    echo "$place"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$place.lock"
flock 9
if [ ! -e "$place/complete" ]; then
    rm -rf "$place"
    mkdir "$place"
    fetch "$place"
    archive=$place/keycloak-quarkus-dist-$version.tar.gz
    echo "$sha256  $archive" | sha256sum --check --quiet >&2
    tar -xzf "$archive" -C "$place" --strip-components=1 --no-same-owner
    rm "$archive"
    # Built beforehand, the server starts without weaving its classes together again each time.
    JAVA_OPTS="-Xmx512m -XX:+UseSerialGC" timeout --kill-after=10 300 \
        "$place/bin/kc.sh" build --db=dev-mem >&2
    touch "$place/complete"
fi
echo "$place"
