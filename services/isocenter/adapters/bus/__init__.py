"""The log: embedded (SQLite), and in memory for tests."""
