"""The search index and the audit trail's index: SQLite."""
