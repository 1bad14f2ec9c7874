"""Role: the audit trail."""
