#!/usr/bin/env bash
# Prints the path of Helm 4: the one on the PATH, or one that it builds into .cache/bin with Go.
set -euo pipefail
version=v4.3.1
bin=$(cd "$(dirname "$0")/../.." && pwd)/.cache/bin

for candidate in "$(command -v helm || true)" "$bin/helm"; do
    if [ -x "$candidate" ] && [[ $("$candidate" version --short 2>/dev/null) == v4.* ]]; then
        echo "$candidate"
        exit
    fi
done

go=$(command -v go || echo /usr/local/go/bin/go)
if [ ! -x "$go" ]; then
    echo "Helm 4 is missing, which the chart's tests need. Install it (https://helm.sh/docs/intro/install), or Go, with which" \
        "this script builds it" >&2
    exit 1
fi
echo "building Helm $version into .cache/bin (a few minutes the first time)..." >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! GOBIN=$bin "$go" install "helm.sh/helm/v4/cmd/helm@$version" >"$log" 2>&1; then
    cat "$log" >&2
    echo "Helm could not be built: see above; Go needs its module proxy, or install Helm 4 yourself" >&2
    exit 1
fi
echo "$bin/helm"
