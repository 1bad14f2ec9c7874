"""Every default address and port, in one place."""

from __future__ import annotations

LOOPBACK = "127.0.0.1"
LOOPBACK_ADDRESSES = frozenset({LOOPBACK, "::1"})

DICOM_PORT = 11112
DICOM_TLS_PORT = 2762
HTTP_PORT = 8080
GRPC_PORT = 50051
MONITOR_PORT = 9464

AE_TITLE = "ISOCENTER"
