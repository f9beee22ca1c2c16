"""What fields mean in messages of rows and rooms, where `words` does not say it."""

from __future__ import annotations

from typing import Final

FIELDS: Final[dict[str, dict[str, str]]] = {  # field -> messages -> text
    "accepted": {
        "Deduplication": "Of the open pairs, those that were joined by the rule, without a person",
        "MapAccepted": "Whether the rows are live",
        "SettleOrder ReconcileStudy": "Uploads whose map is taken",
    },
    "after": {
        "KeyHandover": "Public half of the key that signs them from now on",
    },
    "answer": {
        "RoomFileTaken": "The file for the other room; null until every window has ended",
    },
    "before": {
        "Envelope": "Step that the message follows",
        "KeyHandover": "Public half of the key that signed receipts until now",
    },
    "by_after": {
        "KeyHandover": "Signature of the key after",
    },
    "by_before": {
        "KeyHandover": "Signature of the key before",
    },
    "chunks": {
        "ChunkStored": "Chunks of the whole upload",
        "UploadOpen": "Chunks in which the rows will come",
    },
    "code": {
        "RoomFileTaken": "Why nothing was carried out; empty if it was",
        "WindowState": "Why the window failed; empty if it did not",
    },
    "counts": {
        "CalibrationSend": "The file that `trustcenter linkage calibrate` wrote, base64",
    },
    "done": {
        "RoomFileTaken": "Pieces of windows that are compared",
        "WindowState": "Pieces of the stage that are done",
    },
    "edges": {
        "EdgesHeader": "Edges that follow",
    },
    "entries": {
        "MapUpload": "Record numbers, flags and refs, packed (docs/spec/rooms.md, M4)",
    },
    "errors": {
        "RegisterAnswer": "Items that were not served",
    },
    "fingerprint": {
        "RoomParameters Params": "Of the schema",
        "UploadOpen": "Of the schema that the rows were made with",
    },
    "format": {
        "Deduplication": "Version of the format",
    },
    "kind": {
        "Envelope": "Which message it is",
    },
    "left": {
        "Told": "Rows of the study that are left, where all were to go",
    },
    "matches": {
        "Calibration": "Pairs of one person in the table",
    },
    "messages": {
        "RoomFile": "Messages in the file",
        "RoomFileTaken": "Messages that were carried out, or acknowledged",
    },
    "number": {
        "Step": "Messages so far",
    },
    "open": {
        "Deduplication": "Listed pairs that nobody decided",
    },
    "pseudonym": {
        "ResultLine": "Study pseudonym of the record",
    },
    "pseudonyms": {
        "RegisterAnswer": "In the order of the record numbers; null where `errors` names the index",
    },
    "public_key": {
        "RoomParameters": "Ed25519 key of the room: of its receipts, or of its log",
    },
    "purge": {
        "StudyPhase": "Whether all that the comparator has of the study is to go",
    },
    "record_number": {
        "Duplicate": "Record that has a successor",
        "RecordRefs ResultLine": "Record of the caller",
    },
    "record_numbers": {
        "RegisterRequest": "Sorted, each once",
    },
    "records": {
        "Deduplication": "Records of the source",
    },
    "refs": {
        "RecordRefs": "Its refs, sorted, 16 bytes each",
        "ReconcileRefs": "All refs of the range that the registrar holds, sorted, 16 bytes each",
    },
    "removed": {
        "Deduplication": "Records that are left out, as another record of the source is the same person",
    },
    "room": {
        "RoomParameters": "Which room says so",
    },
    "rows": {
        "Receipt": "Rows of the upload",
        "UploadOpen": "Rows that will come",
        "SourceRows": "Rows of the source that the window compared",
        "WindowEstimate": "Rows that would be compared",
    },
    "schema": {
        "Deduplication": "Fingerprint of the schema of the comparison",
    },
    "sealed": {
        "Envelope": "The study secret, sealed to the member; base64",
    },
    "sent": {
        "Calibration": "When it was sent, UTC",
    },
    "sequence": {
        "Receipt": "Number of the receipt; each of a source is greater than all before",
        "SettleOrder Settle": "Newest receipt that the registrar refuses",
        "SettleAnswer Settled": "Last receipt that the source got",
    },
    "sha256": {
        "Calibration": "Of the table as stored",
        "EdgesHeader": "Of the edges, packed",
    },
    "signature": {
        "Receipt SettleAnswer": "The comparator's, over all other fields",
        "RoomParameters": "The room's, over all other fields",
        "SettleOrder": "The registrar's, over all other fields",
    },
    "site": {
        "Calibration": "Site of the study",
    },
    "size": {
        "RoomFile": "Bytes",
    },
    "source": {
        "Calibrations": "Whether tables of sites are pooled with those that ship",
        "Receipt SettleOrder SettleAnswer Settle": "Site that sent the rows",
        "SourceRows": "Site that the rows are of",
    },
    "sources": {
        "Params": "Sites that send rows",
        "WindowState": "By site",
    },
    "stage": {
        "WindowState": "What it does now",
    },
    "state": {
        "WindowState": "How far the window is",
    },
    "step": {
        "PeerState": "How far the exchange of messages is",
        "Rejoin": "From where messages go on",
    },
    "study": {
        "Receipt RoomParameters SettleOrder SettleAnswer EdgesHeader Params ReconcileRefs": "Name of the study",
        "Settle StudyPhase WindowEstimate WindowOrder WindowState": "Name of the study",
    },
    "successor": {
        "Duplicate": "Record that stands for it from now on",
        "ResultLine": "Pseudonym of the own record that stands for this one; null: it stands for itself",
    },
    "total": {
        "WindowState": "Pieces of the stage",
        "RoomFileTaken": "Pieces of the windows",
    },
    "upload": {
        "ChunkStored Receipt": "Id of the upload",
        "UploadOpened": "Id under which chunks go",
    },
    "version": {
        "EdgesHeader Params Receipt RoomParameters UploadOpen WindowOrder": "Version of the study",
        "PeerState": "Version of the program",
    },
    "window": {
        "EdgesHeader WindowOrder WindowState": "Number of the window",
        "ReconcileStudy": "The registrar's newest window",
        "ReconciledStudy": "The comparator's newest window",
    },
    "windows": {
        "RoomFile": "Windows in the file",
        "RoomFileTaken": "Windows of the file",
    },
}
