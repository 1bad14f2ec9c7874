#!/usr/bin/env bash
# A Keycloak (development mode, loopback) in the foreground.
# usage: run.sh install | run.sh DATA_DIRECTORY PORT [REALM_FILE]   (a realm that it has when it starts first)
source "$(dirname "$0")/../common.sh"
home=$cache/keycloak
JAVA_HOME=$(require_java 17)
export JAVA_HOME
mark=$(sha256sum <"$stack/keycloak/pom.xml")

alone maven
if ! installed "$home/VERSION" "$mark"; then
    echo "stack: getting Keycloak" >&2
    need mvn maven
    rm -rf "$home"
    mvn --quiet --batch-mode --file "$stack/keycloak/pom.xml" initialize -Doutput="$home" -Dtarget="$home/target" ||
        fail "Maven could not get Keycloak; see its messages above"
    mv "$home"/keycloak-*/* "$home/"
    rm -rf "$home/target"
    # Once for all: what a first start would do each time.
    "$home/bin/kc.sh" build --db=dev-file --health-enabled=true >/dev/null
    echo "$mark" >"$home/VERSION"
fi
together
[ "${1:-}" != install ] || exit 0

mkdir -p "$1"
data=$(cd "$1" && pwd) port=$2
# Its data lie below its home: each instance has a home of its own, of links to the programs.
if [ ! -d "$data/home" ]; then
    mkdir -p "$data/home/data/import"
    for part in bin conf lib providers themes version.txt; do
        [ -e "$home/$part" ] || continue
        cp -rl "$home/$part" "$data/home/" 2>/dev/null || cp -r "$home/$part" "$data/home/" # another file system
    done
    [ -z "${3:-}" ] || cp "$3" "$data/home/data/import/realm.json"
fi
export JAVA_OPTS="${JAVA_OPTS:--Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}"
exec "$data/home/bin/kc.sh" start --optimized --http-enabled=true --hostname-strict=false --http-host=127.0.0.1 "--http-port=$port" "--http-management-port=$((port + 1))" --import-realm
