"""Adapters of the ports in core.ports, picked by URL scheme in app.py."""
