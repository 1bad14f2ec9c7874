#!/usr/bin/env bash
# Reads manifests with the operators' own types, without a cluster, and names what they do not know.
# usage: check.sh strimzi FILE...   (Maven Central, a JDK)   |   check.sh eck FILE...   (Go)
source "$(dirname "${BASH_SOURCE[0]}")/../../stack/common.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/../../../.cache/operators
kind=$1
shift
mkdir -p "$cache"

case $kind in
    strimzi)
        java=$(require_java 21)/bin/java
        mark=$(sha256sum <"$here/strimzi/pom.xml")
        if ! installed "$cache/strimzi/VERSION" "$mark"; then
            rm -rf "$cache/strimzi"
            jars "$here/strimzi/pom.xml" "$cache/strimzi/lib"
            echo "$mark" >"$cache/strimzi/VERSION"
        fi
        exec "$java" -Dslf4j.internal.verbosity=ERROR -cp "$cache/strimzi/lib/*" "$here/strimzi/Check.java" "$@"
        ;;
    eck)
        need go golang
        program=$(cd "$cache" && pwd)/eck
        (cd "$here/eck" && go build -trimpath -o "$program" .) || fail "Go could not build the check; see its messages above"
        exec "$program" "$@"
        ;;
    *) fail "usage: check.sh strimzi|eck FILE..." ;;
esac
