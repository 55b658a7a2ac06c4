#!/usr/bin/env bash
# A PostgreSQL server of our own, on a free loopback port, in a temporary directory.
#
#   deploy/ci/postgres.sh start DIRECTORY   prints the SQLAlchemy address of the server
#   deploy/ci/postgres.sh stop DIRECTORY    stops it and removes the directory
#
# initdb refuses root, so root hands over to the account `postgres`. Durability stays on (fsync): what
# the tests prove about single use must hold on a server that could lose power.
set -euo pipefail

as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

find_binaries() {
    local newest
    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    if [ ! -x "$newest/initdb" ]; then
        newest=$(dirname "$(command -v initdb || echo /nowhere/initdb)")
    fi
    [ -x "$newest/initdb" ] || { echo "postgres.sh: no PostgreSQL server is installed" >&2; exit 1; }
    printf '%s' "$newest"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
    local directory=$1 binaries port
    binaries=$(find_binaries)
    port=$(free_port)
    mkdir -p "$directory"
    # The account of the server must be able to walk to its directory.
    if [ "$(id -u)" = 0 ]; then chown postgres: "$directory"; fi
    as_postgres "$binaries/initdb" --pgdata "$directory/data" --auth trust --username postgres \
        --encoding UTF8 --locale C >"$directory.initdb.log" 2>&1 || { cat "$directory.initdb.log" >&2; exit 1; }
    as_postgres "$binaries/pg_ctl" --pgdata "$directory/data" --log "$directory/server.log" --wait --timeout 60 \
        --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c fsync=on -c max_connections=200" \
        start >/dev/null || { cat "$directory/server.log" >&2; exit 1; }
    echo "postgresql+psycopg://postgres@127.0.0.1:$port/postgres"
}

stop() {
    local directory=$1
    if [ -f "$directory/data/postmaster.pid" ]; then
        as_postgres "$(find_binaries)/pg_ctl" --pgdata "$directory/data" --mode fast --wait stop >/dev/null || true
    fi
    rm -rf "$directory" "$directory.initdb.log"
}

case "${1:-}" in
    start) start "${2:?a directory}" ;;
    stop) stop "${2:?a directory}" ;;
    *) echo "usage: $0 start|stop DIRECTORY" >&2; exit 2 ;;
esac
