"""What reports of the audit trail say, in the languages they are written in.

A table: key -> language -> text, with the names of values in braces.
"""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.errors import Invalid

LANGUAGES = ("en", "fr", "de")

_THOUSANDS = {"en": ",", "fr": "\u202f", "de": "."}


def text(key: str, language: str, /, **values: str | int) -> str:
    """A text with its values; numbers are written as the language does. Raises `Invalid` for a
    language that there is not."""
    if language not in LANGUAGES:
        raise Invalid(
            f"there is no report in the language {language!r}",
            fix=f"languages are: {', '.join(LANGUAGES)}",
        )
    written = {
        name: number(value, language) if isinstance(value, int) else value
        for name, value in values.items()
    }
    return TEXTS[key][language].format_map(written)


def number(value: int, language: str) -> str:
    """A number with its thousands apart."""
    return f"{value:,}".replace(",", _THOUSANDS[language])


def _in(en: str, fr: str, de: str) -> Mapping[str, str]:
    return {"en": en, "fr": fr, "de": de}


TEXTS: Mapping[str, Mapping[str, str]] = {
    # --- the first page
    "title": _in("Audit trail report", "Rapport du journal d'audit", "Bericht aus dem Prüfpfad"),
    "page": _in("Page {page} of", "Page {page} sur", "Seite {page} von"),
    "asked": _in("What was asked", "Demande", "Anfrage"),
    "everything": _in(
        "All records; no filter.",
        "Tous les enregistrements ; aucun filtre.",
        "Alle Einträge; kein Filter.",
    ),
    "site": _in("Site", "Site", "Standort"),
    "since": _in("From", "À partir du", "Ab"),
    "until": _in("Before", "Avant le", "Vor"),
    "actions": _in("Actions", "Actions", "Vorgänge"),
    "outcomes": _in("Outcomes", "Résultats", "Ergebnisse"),
    "who": _in("Who", "Auteur", "Wer"),
    "patient_id": _in("Patient ID", "Identifiant du patient", "Patienten-ID"),
    "study": _in("Study", "Examen", "Studie"),
    "instance": _in("Object", "Objet", "Objekt"),
    "place": _in("Place", "Lieu", "Ort"),
    "text": _in("Words", "Mots", "Wörter"),
    "by": _in("Asked by", "Demandé par", "Angefragt von"),
    "at": _in("Asked at", "Demandé le", "Angefragt am"),
    "total": _in("Records", "Enregistrements", "Einträge"),
    "order": _in(
        "{total} records, the newest first. All times are in UTC.",
        "{total} enregistrements, les plus récents d'abord. Toutes les heures sont en UTC.",
        "{total} Einträge, die neuesten zuerst. Alle Zeiten in UTC.",
    ),
    "unshown": _in(
        "A character that this report cannot print stands as its code in brackets, as in"
        " [U+1F600]. Chinese, Japanese and Korean letters are those of the program that shows"
        " the report; one without such fonts leaves gaps.",
        "Un caractère que ce rapport ne peut pas imprimer est remplacé par son code entre"
        " crochets, comme [U+1F600]. Les caractères chinois, japonais et coréens sont ceux du"
        " programme qui affiche le rapport ; s'il n'en a pas, il laisse des vides.",
        "Ein Zeichen, das dieser Bericht nicht drucken kann, steht als sein Code in Klammern, wie"
        " [U+1F600]. Chinesische, japanische und koreanische Zeichen sind die des Programms, das"
        " den Bericht anzeigt; hat es keine, bleiben Lücken.",
    ),
    # --- integrity
    "integrity": _in("Integrity", "Intégrité", "Unversehrtheit"),
    "result": _in("Verification", "Vérification", "Prüfung"),
    "not_verified": _in(
        "The trail was not verified for this report.",
        "Le journal n'a pas été vérifié pour ce rapport.",
        "Der Prüfpfad wurde für diesen Bericht nicht geprüft.",
    ),
    "verified": _in(
        "The whole trail was verified: of {records} sealed records in {segments} segments none"
        " was added, changed, reordered or removed.",
        "Tout le journal a été vérifié : aucun des {records} enregistrements scellés, dans"
        " {segments} segments, n'a été ajouté, modifié, déplacé ni supprimé.",
        "Der ganze Prüfpfad wurde geprüft: Von {records} versiegelten Einträgen in {segments}"
        " Segmenten wurde keiner hinzugefügt, geändert, verschoben oder entfernt.",
    ),
    "nothing_verified": _in(
        "The trail was verified, and nothing is sealed yet. If something was sealed before, it is"
        " gone.",
        "Le journal a été vérifié, et rien n'est encore scellé. Si quelque chose était déjà"
        " scellé, cela a disparu.",
        "Der Prüfpfad wurde geprüft, und es ist noch nichts versiegelt. War schon etwas"
        " versiegelt, so fehlt es.",
    ),
    "failed": _in(
        "THE VERIFICATION FAILED: {findings} findings. {records} sealed records in {segments}"
        " segments are as they were sealed; what is not:",
        "LA VÉRIFICATION A ÉCHOUÉ : {findings} constatations. {records} enregistrements scellés,"
        " dans {segments} segments, sont intacts ; ce qui ne l'est pas :",
        "DIE PRÜFUNG IST FEHLGESCHLAGEN: {findings} Befunde. {records} versiegelte Einträge in"
        " {segments} Segmenten sind unversehrt; was es nicht ist:",
    ),
    "more_findings": _in(
        "and {count} more findings",
        "et {count} autres constatations",
        "und {count} weitere Befunde",
    ),
    "expired": _in(
        "{expired} records were removed when their retention ended; the seals attest it.",
        "{expired} enregistrements ont été supprimés à la fin de leur conservation ; les sceaux"
        " l'attestent.",
        "{expired} Einträge wurden nach Ablauf ihrer Aufbewahrung entfernt; die Siegel belegen"
        " das.",
    ),
    "rests_on": _in("It rests on", "Elle repose sur", "Sie beruht auf"),
    "on_trusted": _in(
        "a key whose fingerprint the verifier knew beforehand: {key}",
        "une clé dont l'empreinte était connue au préalable du vérificateur : {key}",
        "einem Schlüssel, dessen Fingerabdruck die prüfende Person vorher kannte: {key}",
    ),
    "on_first": _in(
        "the first key of this trail, taken from the trail itself. Compare its fingerprint with"
        " one that is known from elsewhere: {key}",
        "la première clé de ce journal, prise dans le journal lui-même. Comparez son empreinte"
        " avec une empreinte connue par ailleurs : {key}",
        "dem ersten Schlüssel dieses Prüfpfads, der ihm selbst entnommen ist. Vergleichen Sie"
        " seinen Fingerabdruck mit einem anderweitig bekannten: {key}",
    ),
    "held": _in(
        "{records} records can be searched; {sealed} were sealed until now, expired ones among"
        " them. No verification covers a record before it is sealed.",
        "{records} enregistrements peuvent être recherchés ; {sealed} ont été scellés jusqu'ici, y"
        " compris ceux dont la conservation est échue. Aucune vérification ne couvre un"
        " enregistrement avant qu'il soit scellé.",
        "{records} Einträge sind auffindbar; {sealed} wurden bisher versiegelt, abgelaufene"
        " eingeschlossen. Keine Prüfung erfasst einen Eintrag, bevor er versiegelt ist.",
    ),
    "waiting": _in(
        "{waiting} events wait in the log to be sealed.",
        "{waiting} événements attendent dans le journal des événements d'être scellés.",
        "{waiting} Ereignisse warten im Log auf ihre Versiegelung.",
    ),
    "problem": _in("Note", "Remarque", "Hinweis"),
    "keys": _in(
        "Keys of the seals (SHA-256 of the public key)",
        "Clés des sceaux (SHA-256 de la clé publique)",
        "Schlüssel der Siegel (SHA-256 des öffentlichen Schlüssels)",
    ),
    "key": _in("Key {number}", "Clé {number}", "Schlüssel {number}"),
    "key_since": _in("since {since}", "depuis le {since}", "seit {since}"),
    "introduced": _in("introduced by {key}", "introduite par {key}", "eingeführt durch {key}"),
    "heads": _in("Ends of the chains", "Fins des chaînes", "Enden der Ketten"),
    "head": _in(
        "record {last}, sealed at {at}",
        "enregistrement {last}, scellé le {at}",
        "Eintrag {last}, versiegelt am {at}",
    ),
    "head_digest": _in("digest {digest}", "empreinte {digest}", "Hashwert {digest}"),
    "seal_digest": _in("seal {digest}", "sceau {digest}", "Siegel {digest}"),
    "heads_digest": _in(
        "The foot of every page holds the SHA-256 of these ends, one line for each chain: its"
        " name, the number, the digest and the seal, with spaces between them.",
        "Le pied de chaque page porte le SHA-256 de ces fins, une ligne par chaîne : son nom, le"
        " numéro, l'empreinte et le sceau, séparés par des espaces.",
        "Am Fuß jeder Seite steht der SHA-256 dieser Enden, eine Zeile je Kette: ihr Name, die"
        " Nummer, der Hashwert und das Siegel, durch Leerzeichen getrennt.",
    ),
    "no_heads": _in(
        "Nothing is sealed yet.", "Rien n'est encore scellé.", "Noch ist nichts versiegelt."
    ),
    # --- the table
    "when": _in("When (UTC)", "Quand (UTC)", "Wann (UTC)"),
    "what": _in("What", "Quoi", "Was"),
    "concerning": _in("Concerning", "Concerne", "Betrifft"),
    "how": _in("Details", "Détails", "Einzelheiten"),
    "end": _in(
        "End of the report: {count} records.",
        "Fin du rapport : {count} enregistrements.",
        "Ende des Berichts: {count} Einträge.",
    ),
    # --- fields of a record
    "id": _in("Record", "Enregistrement", "Eintrag"),
    "protocol": _in("over", "par", "über"),
    "host": _in("from", "depuis", "von"),
    "ae_title": _in("AE title", "AE title", "AE-Titel"),
    "called_ae_title": _in("called AE title", "AE title appelé", "gerufener AE-Titel"),
    "user": _in("user", "utilisateur", "Benutzer"),
    "tls_subject": _in("certificate", "certificat", "Zertifikat"),
    "unknown": _in("not a known peer", "pair inconnu", "unbekannte Gegenstelle"),
    "purpose": _in("purpose", "motif", "Zweck"),
    "partition": _in("partition", "partition", "Partition"),
    "studies": _in("study", "examen", "Studie"),
    "series": _in("series", "série", "Serie"),
    "instances": _in("object", "objet", "Objekt"),
    "instance_count": _in("objects in all", "objets au total", "Objekte insgesamt"),
    "patient_ids": _in("patient", "patient", "Patient"),
    "digests": _in("SHA-256", "SHA-256", "SHA-256"),
    "destination": _in("to", "vers", "an"),
    "error": _in("error", "erreur", "Fehler"),
    "query": _in("query", "requête", "Suche"),
    "process": _in("process", "processus", "Prozess"),
    "trace": _in("trace", "trace", "Trace"),
    # --- outcomes and actions, by their values
    "outcome.success": _in("success", "réussite", "Erfolg"),
    "outcome.minor-failure": _in("minor failure", "échec partiel", "teilweiser Fehler"),
    "outcome.failure": _in("failure", "échec", "Fehler"),
    "action.store": _in("store", "stockage", "Speicherung"),
    "action.query": _in("query", "recherche", "Suche"),
    "action.retrieve": _in("retrieve", "lecture", "Abruf"),
    "action.export": _in("export", "export", "Export"),
    "action.delete": _in("delete", "suppression", "Löschung"),
    "action.conflict": _in("conflict", "conflit", "Konflikt"),
    "action.start": _in("start", "démarrage", "Start"),
    "action.stop": _in("stop", "arrêt", "Ende"),
    "action.security": _in("security", "sécurité", "Sicherheit"),
    "action.import": _in("import", "import", "Import"),
    "action.verify": _in("verify", "vérification", "Prüfung"),
    "action.audit": _in("audit trail", "journal d'audit", "Prüfpfad"),
    "action.sign-in": _in("sign-in", "connexion", "Anmeldung"),
    "action.sign-out": _in("sign-out", "déconnexion", "Abmeldung"),
    "action.network": _in("network", "réseau", "Netzwerk"),
}
