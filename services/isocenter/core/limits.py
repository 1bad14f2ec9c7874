"""Bounds of what is read, for settings too: this module imports nothing."""

MAX_DEPTH = 64  # nested sequences
