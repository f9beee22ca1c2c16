"""What fields mean in messages of studies, consent, clearing and members, where `words` does not say it."""

from __future__ import annotations

from typing import Final

FIELDS: Final[dict[str, dict[str, str]]] = {  # field -> messages -> text
    "answer": {
        "ClearingAnswer": "Whether the two records are of one person",
        "SiteReply": "What the site found",
    },
    "answered": {
        "SiteReplied": "Answers that were new",
    },
    "approvals": {
        "StudySettings": "Signatures that a release needs",
    },
    "card": {
        "CardSet": "The caller's own card, tc-card-1:…",
        "Enrolment": "Fingerprint of the card that the practice published; null before it did",
        "EnrolmentRedeem": "The practice's card, tc-card-1:…",
        "MemberCard": "The card that the member published; null before it did",
        "OwnShare": "The card that the sender published; null if it has none",
    },
    "code": {
        "ConsentProvision": "The policy: OID, number or name",
        "EnrolmentCode": "The code; shown once",
        "EnrolmentRedeem": "The registrar's code",
        "PolicyStatus": "OID of the policy",
        "RowsRedeem": "The comparator's code",
    },
    "confirmation": {
        "Confirmation": "Proof that the caller holds the secret",
        "MemberConfirmation": "Proof that the member holds the secret",
    },
    "consent": {
        "Study": "OIDs of the policies that every record needs",
        "StudyCreate": "Policies that every record needs: OID, number or name",
    },
    "created": {
        "ClearingTask Enrolment MemberConfirmation ShareState Study StudyVersion": "When it was made, UTC",
        "MemberCard": "When the card was published; null before it was",
    },
    "date": {
        "ConsentItem": "When the document was made: day, or time with an offset",
    },
    "days": {
        "EnrolmentCreate": "Days for which the code is good",
    },
    "decided": {
        "ClearingTask": "Whether the task is decided",
        "ClearingTasks": "Tasks of the study that are decided",
    },
    "domains": {
        "Study": "Pseudonym domain of each of the caller's own sites; for staff, of all",
    },
    "edges": {
        "ClearingTask": "Edges between the two records",
    },
    "errors": {
        "ConsentAnswer ConsentStatuses": "Items that were not served",
    },
    "expires": {
        "Enrolled RowsEnrolled": "When the token expires",
        "Enrolment EnrolmentCode": "When the code expires",
    },
    "fingerprint": {
        "Study": "Of the schema",
    },
    "kind": {
        "EnrolmentCreate": "What sort of institution it is",
        "Participant": "What sort of institution it is; ignored in a request",
    },
    "left": {
        "SiteReplied": "Questions that are not answered yet",
    },
    "members": {
        "SecretState": "Members of the present version",
        "ShareState": "To whom the secret is sealed",
    },
    "name": {
        "PolicyStatus": "Name of the policy",
        "Recipient": "Name of the recipient",
        "Study StudyCreate": "Name of the study",
    },
    "original": {
        "ConsentItem": "Original of the person; in a study, the record number",
    },
    "originals": {
        "ConsentQuery": "Originals to ask about; null: by pseudonyms",
    },
    "permit": {
        "ConsentProvision": "Whether the policy is permitted or denied",
        "Study StudyCreate": "Number of the permit or vote",
    },
    "policies": {
        "ConsentItem": "What the document says of each policy",
        "ConsentQuery RecordConsentQuery": "Whether to tell what is required only, or all that was sent",
        "ConsentStatus": "Of each policy that was asked about",
    },
    "postponed": {
        "ClearingTasks": "That somebody put off",
    },
    "pseudonyms": {
        "ClearingAsk": "Study pseudonyms, each of the site in the same place",
        "ConsentQuery": "Pseudonyms to ask about; null: by originals",
        "RecordConsentQuery": "Study pseudonyms to ask about; null: by record numbers",
    },
    "public_key": {
        "Recipient": "Key to which the join map is sealed, tc-recipient-1:…",
    },
    "purge": {
        "StudySettings": "With which state rows, refs and edges go for good",
    },
    "purpose": {
        "Study StudyCreate": "What the data are used for",
    },
    "reason": {
        "ClearingAnswer": "Why, from a list",
        "StudyRenew": "Why the study gets a new version",
        "StudyVersion": "Why the version was made",
    },
    "recipients": {
        "Study StudyCreate": "Who gets join maps",
    },
    "record_number": {
        "SiteReply": "Record of the caller",
    },
    "record_numbers": {
        "RecordConsentQuery": "Records to ask about; null: by pseudonyms",
        "SiteQuestions": "Records to look at; most were drawn by chance",
    },
    "records": {
        "ClearingTask": "Records of the persons of the two, which an answer concerns",
    },
    "removed": {
        "ConsentAnswer": "Rows of mappings that were erased",
    },
    "results": {
        "ConsentAnswer": "Whether what is required is there now, per item; null where `errors` names the index",
        "ConsentStatuses": "In the order of the question; null where `errors` names the index",
    },
    "schema": {
        "Study StudyCreate": "Name of the schema",
    },
    "sealed": {
        "Enrolment": "Whether the study secret of the present version is sealed to the practice",
        "OwnShare": "The study secret, sealed to the caller; base64",
    },
    "signature": {
        "OwnShare": "The sender's, over the statement",
        "SecretShare": "The caller's, over the statement",
    },
    "since": {
        "PolicyStatus": "First day of the permit; null without one",
    },
    "site": {
        "MemberCard MemberConfirmation Participant": "Site of the study",
        "Enrolled Enrolment EnrolmentCode EnrolmentCreate RowsEnrolled": "The practice",
        "Sponsor": "Site that may enrol practices",
        "StudyLead": "Site whose share counts from now on",
        "VersionSource": "Site that the counts are of",
    },
    "sites": {
        "ClearingAsk ClearingTask": "The two sites",
    },
    "sources": {
        "StudyVersions": "By site; a site sees itself only",
    },
    "state": {
        "Enrolment": "Waiting, used, expired or revoked",
        "Study": "Draft, open, frozen, released, closed or deleted",
        "StudyMove": "State that the study is to have",
    },
    "status": {
        "ConsentStatus": "Whether what is required is there",
        "PolicyStatus": "Whether the policy is permitted",
    },
    "study": {
        "Enrolled Enrolment MemberCards OwnShares SecretState": "Name of the study",
    },
    "tasks": {
        "ClearingAskSites": "Tasks about whose records the two sites are asked",
        "ClearingRound": "How many the round is about",
        "ClearingTasks": "That wait for the caller, the most urgent first",
    },
    "token": {
        "Enrolled RowsEnrolled": "The token; shown once",
    },
    "total": {
        "ClearingTasks": "Tasks of the study",
    },
    "unmet": {
        "ClearingTask": "Whether it was called the same, and the latest run could not join it",
        "ClearingTasks": "Those that were called the same and could not be joined",
    },
    "until": {
        "ClearingPostpone": "Day on which the task is shown again",
        "ConsentProvision": "Last day of the permit, or a time with an offset",
        "PolicyStatus": "Last day of the permit; null without one",
    },
    "version": {
        "Confirmation MemberCards OwnShares SecretState Study StudyVersion": "Version of the study",
        "StudyRenew": "Version that the study is to get",
    },
    "withdrawn": {
        "ConsentAnswer": "Persons whose status became withdrawn",
    },
}
