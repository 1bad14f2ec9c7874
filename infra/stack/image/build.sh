#!/usr/bin/env bash
# Images of the stack's servers: isocenter-stack/{kafka,elasticsearch,minio}:local.
# usage: build.sh BUILD_COMMAND...   (as `docker build`: it gets -f, -t, --target and the context's folder)
source "$(dirname "$0")/../common.sh"
[ $# -gt 0 ] || fail "usage: $0 BUILD_COMMAND..., for example: $0 docker build"
context=$cache/image
"$stack/stack.sh" install
rm -rf "$context"
mkdir -p "$context"
jdk=$(require_java 21)
"$jdk/bin/jlink" --strip-debug --no-header-files --no-man-pages \
    --add-modules java.se,jdk.attach,jdk.crypto.ec,jdk.httpserver,jdk.jfr,jdk.management,jdk.naming.dns,jdk.net,jdk.unsupported,jdk.zipfs --output "$context/java"
cp "$stack"/image/{Dockerfile,kafka.sh,elasticsearch.sh} "$context"
chmod 755 "$context"/*.sh
cp -rl "$cache"/{kafka,elasticsearch,minio} "$context"
for server in kafka elasticsearch minio; do
    "$@" -f "$context/Dockerfile" --target "$server" -t "isocenter-stack/$server:local" "$context"
done
