"""Backups of the embedded parts: a folder elsewhere, filled while everything goes on."""
