#!/usr/bin/env bash
# Installs what a bare Debian 12 lacks for the full check; what is there already is left as it is.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

missing=()
needs() { # needs COMMAND PACKAGE...
    local command=$1
    shift
    command -v "$command" >/dev/null || missing+=("$@")
}

needs git git
needs make make
needs curl curl ca-certificates
needs node nodejs
needs npm npm
needs chromium chromium
needs chromedriver chromium-driver
# Without a font every letter in a screenshot is an empty box.
[ -n "$(fc-list 2>/dev/null)" ] || missing+=(fontconfig fonts-liberation)
needs php php-cli
extensions=$(php -m 2>/dev/null || true)
needs_extension() { # needs_extension NAME PACKAGE
    grep -qix "$1" <<<"$extensions" || missing+=("$2")
}
needs_extension xml php-xml
needs_extension mbstring php-mbstring
needs_extension pdo_sqlite php-sqlite3
needs slapd slapd
needs ldapadd ldap-utils
[ -e /usr/share/samba/setup/provision.ldif ] && command -v samba-tool >/dev/null \
    || missing+=(samba-ad-dc samba-ad-provision samba-dsdb-modules python3-samba)
[ -d /usr/share/simplesamlphp ] || missing+=(simplesamlphp)
needs java openjdk-17-jre-headless
needs mvn maven
needs go golang-go
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    || missing+=(python3 python3-venv)

if [ ${#missing[@]} -eq 0 ]; then
    echo "no package is missing"
else
    echo "installing: ${missing[*]}"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# No package of Debian: it comes by its Maven name.
keycloak=$("$(dirname "$0")/keycloak.sh")
echo "Keycloak is in $keycloak"
