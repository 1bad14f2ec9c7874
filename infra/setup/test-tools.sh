#!/usr/bin/env bash
# The programs that tests use as independent clients and judges.
set -euo pipefail
here=$(dirname "$0")
"$here/packages.sh" dcmtk dicom3tools chromium curl faketime haproxy prometheus unzip npm
"$here/helm.sh" >/dev/null
npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$here/../../tests/browser"
