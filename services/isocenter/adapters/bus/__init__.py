"""The log: embedded (SQLite), on Kafka, and in memory for tests."""
