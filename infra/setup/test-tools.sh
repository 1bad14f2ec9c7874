#!/usr/bin/env bash
# The programs that tests use as independent clients and judges.
set -euo pipefail
here=$(dirname "$0")
"$here/packages.sh" dcmtk dicom3tools chromium curl faketime haproxy prometheus unzip \
    orthanc orthanc-dicomweb rsyslog rsyslog-gnutls rsyslog-openssl wapiti
"$here/helm.sh" >/dev/null
"$here/dicom-rs.sh"
command -v npm >/dev/null || "$here/packages.sh" npm
npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$here/../../tests/browser"
