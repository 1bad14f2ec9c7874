"""Exports of the audit trail: the same records in the forms that others read."""
