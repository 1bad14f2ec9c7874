#!/usr/bin/env bash
# The released version before this one, from its sources: its image, and its chart in .cache/previous-chart.
# usage: previous.sh BUILD_COMMAND...   (as `docker build`)
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.2.0 commit=3b44ad0435f73d645c6a2d0bf8da8b3a7aecffec
here=.cache/previous

[ $# -gt 0 ] || { echo "usage: $0 BUILD_COMMAND..., for example: $0 docker build" >&2; exit 2; }
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "SKIPPED: version $version ($commit) is not in this clone; get its history with git fetch --unshallow" >&2
    exit
fi
rm -rf "$here"
mkdir -p "$here"
git archive "$commit" | tar -x -C "$here"
mkdir -p "$here/.cache"
cp -rl .cache/viewer "$here/.cache/viewer"
"$@" -f "$here/infra/images/Dockerfile" -t "ghcr.io/isocenter/isocenter:$version" "$here"
cp -r "$here/charts/isocenter" .cache/previous-chart.new
rm -rf .cache/previous-chart "$here"
mv .cache/previous-chart.new .cache/previous-chart
