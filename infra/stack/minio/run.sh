#!/usr/bin/env bash
# A MinIO server (one drive, loopback) in the foreground. Its keys: isocenter / isocenter-secret.
# usage: run.sh install | run.sh DATA_DIRECTORY PORT
source "$(dirname "$0")/../common.sh"
home=$cache/minio
package=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

alone minio
if ! installed "$home/VERSION" "$package"; then
    need go golang
    echo "stack: building MinIO (three minutes)" >&2
    rm -rf "$home"
    mkdir -p "$home"
    CGO_ENABLED=0 GOBIN=$(cd "$home" && pwd) GOFLAGS=-modcacherw go install -trimpath -ldflags='-s -w' "$package" ||
        fail "Go could not build $package; see its messages above"
    echo "$package" >"$home/VERSION"
fi
together
[ "${1:-}" != install ] || exit 0

export MINIO_ROOT_USER=${MINIO_ROOT_USER:-isocenter} MINIO_ROOT_PASSWORD=${MINIO_ROOT_PASSWORD:-isocenter-secret}
export MINIO_BROWSER=off
exec "$home/minio" server "$1" --address "127.0.0.1:$2" --quiet
