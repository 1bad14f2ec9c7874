"""Every default address and port, in one place."""

from __future__ import annotations

LOOPBACK = "127.0.0.1"
LOOPBACK_ADDRESSES = frozenset({LOOPBACK, "::1"})

DICOM_PORT = 11112
DICOM_TLS_PORT = 2762
HTTP_PORT = 8080
GRPC_PORT = 50051
API_PORT = 50052  # of programs outside; GRPC_PORT is for roles among each other
MONITOR_PORT = 9464

AE_TITLE = "ISOCENTER"
