"""What fields mean in messages of pseudonyms, access and errors, where `words` does not say it."""

from __future__ import annotations

from typing import Final

FIELDS: Final[dict[str, dict[str, str]]] = {  # field -> messages -> text
    "acknowledged": {
        "ChangeBatch": "When the recipient gave the code; null until then",
    },
    "approvals": {
        "Reidentification Release": "Who has signed",
    },
    "certificate": {
        "CertificateBind": "PEM text of one certificate, without its key",
    },
    "code": {
        "ChangeCode": "The code that stands inside the batch",
        "ItemError Problem": "Names the error, for programs",
    },
    "consent": {
        "Domain": "OIDs of the policies without which nothing is issued",
        "DomainCreate": "Policies without which nothing is issued: OID, number or name",
    },
    "count": {
        "AdditionalRequest": "New pseudonyms for each original",
        "StreamEnd": "Lines before this one",
    },
    "counts": {
        "Run": "What the run found; null until it is applied",
    },
    "created": {
        "Certificate ChangeBatch Domain DomainClosing Reidentification Release Run Site": "When it was made, UTC",
        "Staff TokenInfo": "When it was made, UTC",
        "PseudonymAnswer": "Pseudonyms that were not there before",
        "TranslateAnswer": "Pseudonyms that were made in the other domain",
    },
    "days": {
        "DomainClose DomainClosing": "Days until the domain's keys are destroyed",
    },
    "decided": {
        "RunCounts": "Records that hang together with what the window brought, or all",
    },
    "detail": {
        "Problem": "What is wrong; never a value that was sent",
    },
    "domain": {
        "DomainClosing Reidentification": "Domain that it is about",
    },
    "domains": {
        "Domains": "Those that the caller may see",
        "TokenCreate": "Of a site: domains that the token serves for; null: all of its own",
        "TokenInfo": "Domains that the token serves for; null: all of its owner's",
    },
    "done": {
        "Run": "Pieces of the stage that are done",
        "StreamEnd": "True: the stream was not cut",
    },
    "edges": {
        "PairCount": "Edges between the two sites",
        "RunCounts": "Edges that the comparator brought",
    },
    "error": {
        "Run": "Why it failed; null if it did not",
    },
    "errors": {
        "AdditionalAnswer ImportAnswer OriginalsAnswer PseudonymAnswer RemovalAnswer": "Items that were not served",
        "TranslateAnswer": "Items that were not served",
    },
    "expires": {
        "Certificate": "When the certificate expires",
        "Reidentification": "End of the time for signing; once approved, of the ticket",
        "Token TokenInfo": "When the token expires",
    },
    "fingerprint": {
        "Certificate": "SHA-256 of the certificate's DER bytes",
    },
    "format": {
        "Domain DomainCreate": "Format of drawn pseudonyms; null: the usual one",
    },
    "hint": {
        "ItemError Problem": "What to do about it; may be empty",
    },
    "index": {
        "ItemError": "Place of the item in the request, from 0",
    },
    "kind": {
        "Domain": "What the domain is for: a site's own, or a site or recipient of a study",
        "Site SiteCreate": "What sort of institution it is",
    },
    "matches": {
        "PairCount": "Pairs that are one person",
    },
    "mode": {
        "PseudonymRequest": "Whether pseudonyms that do not exist are made",
        "Run": "What is compared and decided: window, full or estimate",
        "RunPlan": "What would be compared and decided: window, full or estimate",
        "TranslateRequest": "Whether pseudonyms that do not exist in the other domain are made",
    },
    "name": {
        "Domain DomainCreate": "Name of the domain",
        "Site SiteCreate": "Name of the site",
        "Staff StaffCreate": "Name of the person",
    },
    "new": {
        "Translation": "Pseudonym that takes its place",
    },
    "number": {
        "ChangeBatch": "Number of the batch; each is greater than all before",
        "ChangeCode": "Number of the batch",
    },
    "old": {
        "Translation": "Pseudonym of the key before",
    },
    "original": {
        "ImportPair": "What the pseudonym stands for",
    },
    "originals": {
        "AdditionalRequest": "In order; the same one twice gets twice as many",
        "OriginalsAnswer": "In the order of the pseudonyms; null where `errors` names the index",
        "PseudonymRequest": "In order; 1 to 256 characters each, no control characters",
        "Selection": "Originals, each for all of its pseudonyms; null: by pseudonyms",
    },
    "pairs": {
        "ImportRequest": "Pairs of another system",
        "RunCounts": "By pair of sites",
    },
    "pseudonym": {
        "ImportPair": "As it is used elsewhere",
    },
    "pseudonyms": {
        "AdditionalAnswer": "New pseudonyms per original; null where `errors` names the index",
        "Domain": "How many there are",
        "OriginalsRequest": "Of the approved ticket",
        "PseudonymAnswer": "In the order of the originals; null where `errors` names the index",
        "Reidentification": "How many are asked about",
        "ReidentifyRequest": "Those whose originals are needed",
        "Selection": "Pseudonyms; null: by originals",
        "TranslateAnswer": "In the order of the request; null where `errors` names the index",
        "TranslateRequest": "Those to be translated",
        "ValidateRequest": "Those to be looked up",
    },
    "public_key": {
        "Staff": "Public half of the personal key, tc-person-1:…; null if there is none",
        "StaffCreate": "Public half of the personal key, tc-person-1:…; approvers need one",
    },
    "reason": {
        "Denial": "Why; read by whoever asked",
        "Reidentification": "Why the originals are needed",
        "ReidentifyRequest": "Why the originals are needed: names the case, never a person",
    },
    "recipient": {
        "ChangesAcknowledge": "Recipient that has acted",
        "Domain": "Recipient whose persons it names; null: none",
        "Release ReleaseCreate": "Recipient of the join map",
    },
    "records": {
        "Release": "Records of the map",
        "SourceCount": "Records that the site brought",
    },
    "release": {
        "Release": "Id of the release",
    },
    "releases": {
        "Releases": "Newest first",
    },
    "results": {
        "ImportAnswer": "What became of each pair; null where `errors` names the index",
        "RemovalAnswer": "What became of each item; null where `errors` names the index",
        "ValidateAnswer": "A verdict per pseudonym, in order",
    },
    "room": {
        "Version": "Which rooms this process holds: both, registrar or comparator",
    },
    "rows": {
        "RemovalAnswer": "Entries that were changed",
        "RunPlan": "Rows that would be compared",
        "SourceCount": "Rows that the site brought",
    },
    "run": {
        "Release": "Run that the map is of",
        "Run": "Id of the run",
    },
    "salt": {
        "Reidentification": "Opens the statement's digest; null to all but the site that asked",
    },
    "sealed": {
        "ChangeBatch": "The changes, sealed to the recipient",
    },
    "signature": {
        "Approval": "Over the statement, made with the personal key",
    },
    "site": {
        "Domain": "Site that owns it; null: a recipient's",
        "DomainCreate": "Site that owns it",
        "GrantSet": "Site that was granted the operations",
        "Reidentification": "Site that asks",
        "SourceCount": "Site that brought them",
    },
    "sites": {
        "PairCount": "The two sites",
        "Sites": "All sites",
    },
    "sources": {
        "RunCounts": "By site",
    },
    "staff": {
        "StaffAdded": "The person",
        "StaffList": "All staff",
    },
    "stage": {
        "Run": "What it does now",
    },
    "state": {
        "Domain": "Open, closing or closed",
        "OriginalsAnswer": "State of the request after it",
        "Reidentification": "Requested, approved, used-up, expired or denied",
        "Release": "Proposed or released",
        "Run": "Whether it waits, is under way or has ended, and how",
    },
    "status": {
        "Health": "Whether it is well",
        "Problem": "Status of the answer",
    },
    "study": {
        "Release Run RunPlan": "Name of the study",
        "Domain": "Study that it is of; null: none",
    },
    "token": {
        "Token": "The token; shown once",
        "StaffAdded": "The person's token",
    },
    "total": {
        "Run": "Pieces of the stage",
    },
    "type": {
        "Problem": "Names the error as a URI",
    },
    "unmet": {
        "RunCounts": "Pairs called the same that could not be joined: two records of one source would be one person",
    },
    "version": {
        "Version": "Version of the program",
    },
    "window": {
        "Run": "Number of the window",
    },
    "withdrawn": {
        "ChangeBatch": "Records that are to be dropped",
    },
}
