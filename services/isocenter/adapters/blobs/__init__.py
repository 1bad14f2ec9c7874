"""The object store: files, and in memory for tests."""
