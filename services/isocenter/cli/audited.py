"""What every verb leaves in the audit trail. A test holds that every verb is here, and runs each of
those that leave a record."""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.events import AuditAction

_NO_PATIENT_DATA = "it touches no patient data"
_OF_OTHERS = "it reads files or asks archives that others keep, who record it, and nothing of ours"
_PUBLIC = "it tells what is public, or reads a file that it is given"

_AUDIT, _SECURITY = AuditAction.AUDIT, AuditAction.SECURITY

# Verb -> the action of the record, or why the verb leaves none.
VERBS: Mapping[str, AuditAction | str] = {
    "up": "the processes that it runs record their start",
    "run": AuditAction.START,
    "roles": _NO_PATIENT_DATA,
    "check": _NO_PATIENT_DATA,
    "health": _NO_PATIENT_DATA,
    "top": _NO_PATIENT_DATA,
    "version": _NO_PATIENT_DATA,
    "attributes": _NO_PATIENT_DATA,
    "probe": "the archive that it calls records what it asks for, and no patient is in it",
    "send": _OF_OTHERS,
    "query": _OF_OTHERS,
    "import": AuditAction.IMPORT,
    "fetch": AuditAction.IMPORT,
    "verify": AuditAction.VERIFY,
    "drill": AuditAction.VERIFY,
    "backup": AuditAction.EXPORT,
    "restore": AuditAction.IMPORT,
    "rebuild": _SECURITY,
    "replay": _SECURITY,
    "sweep": _SECURITY,
    "delete": AuditAction.DELETE,
    "undelete": AuditAction.DELETE,
    "deleted": AuditAction.QUERY,
    "dead list": _NO_PATIENT_DATA,
    "dead show": AuditAction.QUERY,
    "dead replay": _SECURITY,
    "dead discard": _SECURITY,
    "access explain": "it tells what the policy says, and nothing of a patient",
    "access check": _PUBLIC,
    "access sessions": _NO_PATIENT_DATA,
    "access end-session": _SECURITY,
    "access marks": AuditAction.QUERY,
    "access mark": _SECURITY,
    "access unmark": _SECURITY,
    "account list": _NO_PATIENT_DATA,
    "account add": _SECURITY,
    "account set": _SECURITY,
    "account invite": _SECURITY,
    "account remove": _SECURITY,
    "account drop-factor": _SECURITY,
    "token create": _SECURITY,
    "token list": _NO_PATIENT_DATA,
    "token revoke": _SECURITY,
    "aes list": _NO_PATIENT_DATA,
    "aes show": _NO_PATIENT_DATA,
    "aes export": _NO_PATIENT_DATA,
    "aes echo": _NO_PATIENT_DATA,
    "aes set": _SECURITY,
    "aes remove": _SECURITY,
    "aes import": _SECURITY,
    "audit list": _AUDIT,
    "audit count": _AUDIT,
    "audit show": _AUDIT,
    "audit object": _AUDIT,
    "audit export": _AUDIT,
    "audit evidence": _AUDIT,
    "audit prove": _AUDIT,
    "audit verify": AuditAction.VERIFY,
    "audit rotate-key": _AUDIT,
    "audit rebuild": _AUDIT,
    "audit saved list": _AUDIT,
    "audit saved add": _AUDIT,
    "audit saved run": _AUDIT,
    "audit saved remove": _AUDIT,
    "audit hold list": _AUDIT,
    "audit hold add": _AUDIT,
    "audit hold release": _AUDIT,
    "audit keys": _PUBLIC,
    "audit check-proof": _PUBLIC,
    "audit verifier": _PUBLIC,
}
