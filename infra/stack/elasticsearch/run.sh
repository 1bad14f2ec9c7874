#!/usr/bin/env bash
# An Elasticsearch node (loopback, without security) in the foreground.
# usage: run.sh install | run.sh DATA_DIRECTORY PORT [SETTING=VALUE ...]   (PORT+1 is the transport's)
source "$(dirname "$0")/../common.sh"
home=$cache/elasticsearch
jdk=$(require_java 21)
mark=$(cat "$stack/elasticsearch/pom.xml" "$stack"/elasticsearch/*.java | sha256sum)

alone maven
if ! installed "$home/VERSION" "$mark"; then
    echo "stack: getting Elasticsearch" >&2
    rm -rf "$home"
    jars "$stack/elasticsearch/pom.xml" "$home/lib"
    mkdir -p "$home/modules/transport-netty4" "$home/modules/stack" "$home/classes/plugin"
    # A plugin's classes must come from a loader of their own.
    mv "$home"/lib/{netty-*,transport-netty4-*,elasticsearch-ssl-config-*} "$home/modules/transport-netty4/"
    "$jdk/bin/javac" -cp "$home/lib/*" -d "$home/classes" "$stack/elasticsearch/StackNode.java"
    "$jdk/bin/javac" -cp "$home/lib/*" -d "$home/classes/plugin" "$stack/elasticsearch/StackPlugin.java"
    "$jdk/bin/jar" cf "$home/modules/stack/stack.jar" -C "$home/classes/plugin" .
    echo "$mark" >"$home/VERSION"
fi
together
[ "${1:-}" != install ] || exit 0

mkdir -p "$1"
data=$(cd "$1" && pwd) port=$2
shift 2
# Each node has a home of its own: it writes descriptors and keeps its configuration there.
mkdir -p "$data/home"
cp -r "$home/modules" "$data/home/"
exec "$jdk/bin/java" ${ES_JAVA_OPTS:--Xms512m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1} "-Dlog=${ES_LOG:-WARN}" \
    "-Des.path.home=$data/home" -Dio.netty.noUnsafe=true --enable-native-access=ALL-UNNAMED \
    -cp "$home/classes:$home/lib/*" StackNode "$data/home" \
    "path.data=$data/data" "path.logs=$data/logs" "http.port=$port" "transport.port=$((port + 1))" "$@"
