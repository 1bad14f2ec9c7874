#!/usr/bin/env bash
# Puts the viewer (OHIF, pinned in package.txt) into DIRECTORY, ready to be served below /viewer/.
#
#   infra/viewer/fetch.sh DIRECTORY
#
# Does nothing when that version is there already. The new files replace the old ones in one
# rename, after the tarball's digest has been checked: an interrupted run leaves what was there.
set -euo pipefail

BASE=/viewer/
REVISION=1 # of the changes made below: raise it, and directories made before are made anew

fail() {
    echo "viewer: $*" >&2
    exit 1
}

ensure_npm() {
    command -v npm >/dev/null && command -v node >/dev/null && return
    if command -v apt-get >/dev/null; then
        "$1/../setup/packages.sh" npm || fail "npm is needed to get the viewer; see the line above"
    else
        fail "npm is needed to get the viewer. Install Node.js with npm from your system's packages"
    fi
}

integrity_of() {
    node -e 'const [file] = process.argv.slice(1);
        const digest = require("crypto").createHash("sha512").update(require("fs").readFileSync(file));
        console.log("sha512-" + digest.digest("base64"))' "$1"
}

# Source maps serve developers only. ort/ (two thirds of the size) is a runtime for segmentation
# models that the viewer would fetch from the internet, which our pages forbid.
drop_what_is_not_served() {
    find "$1" -name '*.map' -delete
    rm -rf "$1/ort" "$1/_headers" "$1/_redirects" "$1/serve.json" "$1/sw.js" \
        "$1/silent-refresh.html" "$1/google.js"
}

# The published build lives at /; ours lives at $BASE. app-config.js is made by the server.
move_below_base() {
    sed -i -E "s#^(__webpack_require__\.p = )\"/\";#\1\"$BASE\";#; s#'/dicom-microscopy-viewer/#'${BASE}dicom-microscopy-viewer/#" \
        "$1"/*.bundle.*.js
    sed -i "s#url(/#url($BASE#g" "$1"/*.css
    sed -i -E "s#(href|src|content)=\"/#\1=\"$BASE#g; s#(PUBLIC_URL=)\"/\"#\1\"$BASE\"#g" "$1/index.html"
    sed -i "s#\"/#\"$BASE#g" "$1/manifest.json"
    rm -f "$1/app-config.js"
    grep -q "__webpack_require__.p = \"$BASE\"" "$1"/app.bundle.*.js ||
        fail "this version names its base path in another way; mend move_below_base in $0"
    grep -q "src=\"${BASE}app.bundle" "$1/index.html" ||
        fail "this version's index.html differs; mend move_below_base in $0"
}

main() {
    [ $# -eq 1 ] || fail "usage: $0 DIRECTORY"
    local here target name version integrity mark found
    here=$(cd "$(dirname "$0")" && pwd)
    target=${1%/}
    read -r name version integrity <"$here/package.txt"
    mark="$name $version revision $REVISION"
    [ "$(cat "$target/VERSION" 2>/dev/null)" = "$mark" ] && return
    [ ! -e "$target" ] || [ -f "$target/VERSION" ] || [ -z "$(ls -A "$target")" ] ||
        fail "$target holds something else than the viewer; name another directory or empty it"
    ensure_npm "$here"

    mkdir -p "$(dirname "$target")"
    staging=$(mktemp -d "$target.staging.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    echo "viewer: getting $name $version" >&2
    (cd "$staging" && npm pack --silent --ignore-scripts "$name@$version" >/dev/null) ||
        fail "npm could not get $name@$version; see the messages above and npm's own settings"
    found=$(integrity_of "$staging"/*.tgz)
    [ "$found" = "$integrity" ] ||
        fail "$name@$version has digest $found, but package.txt says $integrity; nothing was changed"
    tar -xzf "$staging"/*.tgz -C "$staging" package/dist package/LICENSE
    drop_what_is_not_served "$staging/package/dist"
    move_below_base "$staging/package/dist"
    mv "$staging/package/LICENSE" "$staging/package/dist/LICENSE"
    echo "$mark" >"$staging/package/dist/VERSION"
    chmod -R u=rwX,go=rX "$staging/package/dist"

    [ ! -e "$target" ] || mv -T "$target" "$staging/previous"
    mv -T "$staging/package/dist" "$target"
    echo "viewer: $name $version is in $target" >&2
}

main "$@"
