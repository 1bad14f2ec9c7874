#!/usr/bin/env bash
# Builds the tools of dicom-rs that dicom-rs.txt pins into .cache/dicom-rs/bin, which tests use as a
# DICOM stack written by others. Does nothing when they are there already.
#
# Without Rust, or where it cannot build them, the tests that need the tools are skipped with the reason.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pins=$here/dicom-rs.txt
target=$here/../../.cache/dicom-rs

cmp --silent "$pins" "$target/VERSION" && exit
cargo=$(command -v cargo || echo "$HOME/.cargo/bin/cargo")
if [ ! -x "$cargo" ]; then
    echo "SKIPPED: dicom-rs is not built, since there is no cargo; install Rust (https://rustup.rs) to test against it" >&2
    exit
fi
echo "building the tools of dicom-rs into .cache/dicom-rs (some minutes the first time)..." >&2
mkdir -p "$target"
log=$(mktemp)
trap 'rm -rf "$log" "$target/build"' EXIT
# What they do is network and disk: their speed does not count, that of the build does.
export CARGO_TARGET_DIR=$target/build CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=false \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
while read -r name version options; do
    # shellcheck disable=SC2086  # options are words
    if ! "$cargo" install --locked --jobs 2 --root "$target" "$name@$version" $options >"$log" 2>&1; then
        cat "$log" >&2
        echo "SKIPPED: $name $version of dicom-rs could not be built, see above; cargo needs its registry and a C compiler" >&2
        exit
    fi
done <"$pins"
cp "$pins" "$target/VERSION"
