# What the scripts of the stack share. Sourced, never run.
set -euo pipefail
stack=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${STACK_CACHE:-$stack/../../.cache/stack}

fail() {
    echo "stack: $*" >&2
    exit 1
}

# need COMMAND DEBIAN_PACKAGE: install what is missing where that is possible, else name it.
need() {
    command -v "$1" >/dev/null || "$stack/../setup/packages.sh" "$2" || fail "$1 is needed"
}

# java_home OLDEST: a JDK (with javac) of that version or a newer one.
java_home() {
    local candidate version
    for candidate in "${JAVA_HOME:-}" "$(dirname "$(dirname "$(readlink -f "$(command -v javac || true)")")")" \
        /usr/lib/jvm/* /Library/Java/JavaVirtualMachines/*/Contents/Home; do
        [ -x "$candidate/bin/javac" ] || continue
        version=$("$candidate/bin/javac" -version 2>&1 | sed -E 's/^javac ([0-9]+).*/\1/')
        if [ "$version" -ge "$1" ]; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# require_java OLDEST: the same, after installing one if the system has it.
require_java() {
    java_home "$1" && return
    local package
    for package in openjdk-25-jdk-headless openjdk-21-jdk-headless openjdk-17-jdk-headless; do
        if [ "${package//[!0-9]/}" -ge "$1" ] && apt-cache show "$package" >/dev/null 2>&1; then
            "$stack/../setup/packages.sh" "$package" >&2 && java_home "$1" && return
        fi
    done
    fail "a JDK of version $1 or newer is needed; install one, or set JAVA_HOME"
}

# alone NAME: until `together`, nobody else is here by this name. Several tests may be the first to need a
# server, and two runs of Maven break each other's downloads.
alone() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    ! command -v flock >/dev/null || flock 9
}

together() {
    exec 9>&-
}

# installed MARK: whether this version of a server is there already.
installed() {
    [ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

# jars POM DIRECTORY: all runtime jars of a Maven project.
jars() {
    need mvn maven
    mvn --quiet --batch-mode --file "$1" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$2" -Dmdep.overWriteIfNewer=false ||
        fail "Maven could not get the jars of $1; see its messages above"
}
