#!/usr/bin/env bash
# Make a virtual environment with everything pinned in a lock file, and this project in it.
# usage: python.sh VENV LOCK_FILE
set -euo pipefail
venv=$1 lock=$2
here=$(dirname "$0")

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=/path/to/python3" >&2
    return 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    # Debian's Python comes without it, in a package of its own for each version.
    "$here/packages.sh" "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "installing pinned packages into $venv (a minute or two the first time)..."
"$venv/bin/python" -m pip install --quiet --require-hashes --requirement "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
