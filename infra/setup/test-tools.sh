#!/usr/bin/env bash
# The programs that tests use as independent clients and judges.
set -euo pipefail
exec "$(dirname "$0")/packages.sh" dcmtk dicom3tools chromium curl faketime
