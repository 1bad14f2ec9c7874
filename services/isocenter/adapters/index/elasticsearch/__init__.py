"""The study index and the audit trail on Elasticsearch."""
