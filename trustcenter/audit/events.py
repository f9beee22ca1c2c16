"""What can stand in a log: a closed list of events, `subject:object:action`. Words are never re-used.

`subject` is the role that acted, `object` what it acted on. A refused request is logged as
`subject:object:refused`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Event(StrEnum):
    """One kind of entry."""

    INSTANCE_INITIALISE = "instance:service:initialise"
    INSTANCE_START = "instance:service:start"
    INSTANCE_STOP = "instance:service:stop"
    INSTANCE_BACKUP = "instance:service:backup"
    INSTANCE_RESTORE = "instance:service:restore"
    INSTANCE_REOPEN = "instance:service:reopen"
    INSTANCE_REPLAY = "instance:service:replay"  # deletions that a restored database did not know of
    INSTANCE_MOVE = "instance:service:move"

    SITE_CREATE = "operator:site:create"
    STAFF_CREATE = "operator:staff:create"
    TOKEN_ISSUE = "operator:token:issue"  # noqa: S105 - an event, not a token
    TOKEN_REVOKE = "operator:token:revoke"  # noqa: S105 - an event, not a token
    TOKEN_RECOVER = "operator:token:recover"  # noqa: S105 - an event, not a token
    CERTIFICATE_BIND = "operator:certificate:bind"
    CERTIFICATE_REVOKE = "operator:certificate:revoke"
    LIMIT_SET = "operator:limit:set"
    GRANT_SET = "operator:grant:set"
    DOMAIN_CREATE = "operator:domain:create"
    DOMAIN_CLOSE_PROPOSE = "operator:domain:propose"
    DOMAIN_CLOSE_APPROVE = "approver:domain:approve"
    DOMAIN_CLOSE = "operator:domain:close"
    DOMAIN_DESTROY = "registrar:domain:destroy"

    KEY_CREATE = "operator:key:create"
    KEY_ROTATE = "operator:key:rotate"
    KEY_ACTIVATE = "operator:key:activate"
    KEY_SUSPEND = "operator:key:suspend"
    KEY_DEACTIVATE = "operator:key:deactivate"
    KEY_LEAK = "operator:key:leak"  # reported; the compromise follows when the keys are exchanged
    KEY_COMPROMISE = "operator:key:compromise"
    KEY_DESTROY = "operator:key:destroy"
    KEY_ABORT = "operator:key:abort"
    KEY_ROLLBACK = "operator:key:rollback"
    KEY_VERIFY = "operator:key:verify"
    KEY_DELIVER = "registrar:key:deliver"
    KEY_ACKNOWLEDGE = "site:key:acknowledge"
    KEY_PROPOSE = "operator:key:propose"
    KEY_APPROVE = "approver:key:approve"
    KEY_SCHEDULE = "operator:key:schedule"
    KEY_REWRITE = "registrar:key:rewrite"
    SITE_KEY = "operator:site:key"

    PSEUDONYM_ISSUE = "site:pseudonym:issue"
    PSEUDONYM_TRANSLATE = "site:pseudonym:translate"
    PSEUDONYM_CROSS = "site:pseudonym:cross"
    PSEUDONYM_MAP = "site:pseudonym:map"
    PSEUDONYM_REIDENTIFY = "site:pseudonym:reidentify"
    PSEUDONYM_VALIDATE = "site:pseudonym:validate"
    PSEUDONYM_IMPORT = "site:pseudonym:import"
    PSEUDONYM_ANONYMISE = "site:pseudonym:anonymise"
    PSEUDONYM_DELETE = "site:pseudonym:delete"
    PSEUDONYM_EXPIRE = "registrar:pseudonym:expire"
    PSEUDONYM_ALARM = "registrar:pseudonym:alarm"
    REIDENTIFY_REQUEST = "site:reidentification:request"
    REIDENTIFY_APPROVE = "approver:reidentification:approve"
    REIDENTIFY_DENY = "approver:reidentification:deny"

    SUBJECT_REPORT = "site:subject:report"

    CONSENT_RECORD = "site:consent:record"
    CONSENT_WITHDRAW = "site:consent:withdraw"
    CONSENT_QUERY = "site:consent:query"
    CONSENT_ASK = "steward:consent:query"

    STUDY_CREATE = "operator:study:create"
    STUDY_CLOSE = "operator:study:close"
    STUDY_MOVE = "operator:study:move"
    STUDY_RENEW = "operator:study:renew"
    STUDY_LEAD = "operator:study:lead"
    STUDY_VERSION_END = "registrar:study:retire"
    STUDY_PURGE = "registrar:study:purge"
    STUDY_PARAMS = "registrar:study:announce"
    ENROLMENT_ALLOW = "operator:enrolment:allow"
    ENROLMENT_CREATE = "site:enrolment:create"
    ENROLMENT_REVOKE = "site:enrolment:revoke"
    ENROLMENT_REDEEM = "practice:enrolment:redeem"
    ENROLMENT_SEAL = "site:enrolment:seal"
    ENROLMENT_FORGET = "registrar:enrolment:forget"  # a code that nobody used, with the name that it was for
    ENROLMENT_FORGET_ROWS = "comparator:enrolment:forget"  # one of the comparator's own
    CARD_PUBLISH = "site:card:publish"
    SECRET_SHARE = "site:secret:share"  # noqa: S105 - an event, not a secret
    SECRET_CONFIRM = "site:secret:confirm"  # noqa: S105 - an event, not a secret
    CALIBRATION_SEND = "site:calibration:send"
    CALIBRATION_DROP = "site:calibration:drop"
    CALIBRATION_REMOVE = "operator:calibration:remove"
    RECORD_REGISTER = "site:record:register"
    RECORD_SUPERSEDE = "site:record:supersede"
    MAP_ACCEPT = "site:map:accept"
    RESULT_READ = "site:result:read"

    CLEARING_ASK = "steward:clearing:ask"
    CLEARING_ANSWER = "steward:clearing:answer"
    CLEARING_POSTPONE = "steward:clearing:postpone"
    CLEARING_RETRACT = "steward:clearing:retract"
    CLEARING_QUESTION = "steward:clearing:question"
    CLEARING_REPLY = "site:clearing:reply"

    RUN_START = "operator:run:start"
    RUN_CANCEL = "operator:run:cancel"
    RUN_RESUME = "registrar:run:resume"
    RUN_FREEZE = "registrar:run:freeze"
    RUN_DELIVER = "registrar:run:deliver"
    RUN_APPLY = "registrar:run:apply"
    RUN_FAIL = "registrar:run:fail"

    RELEASE_PROPOSE = "operator:release:propose"
    RELEASE_APPROVE = "approver:release:approve"
    RELEASE_COMPLETE = "registrar:release:complete"
    RELEASE_EXPORT = "operator:release:export"
    RELEASE_CHANGE = "registrar:release:change"
    RELEASE_CHANGES_EXPORT = "operator:change:export"
    RELEASE_ACKNOWLEDGE = "operator:change:acknowledge"

    LINKAGE_PROPOSE = "auditor:linkage:propose"
    LINKAGE_APPROVE = "approver:linkage:approve"
    LINKAGE_EXPORT = "auditor:linkage:export"

    LOG_EXPORT = "auditor:log:export"
    LOG_CHECKPOINT = "auditor:log:checkpoint"
    LOG_COSIGN = "site:log:cosign"
    RETENTION_PROPOSE = "operator:retention:propose"
    RETENTION_APPROVE = "approver:retention:approve"
    RETENTION_SET = "operator:retention:set"
    DETAIL_DELETE = "operator:detail:delete"

    ROOMS_REJOIN = "registrar:rooms:reconcile"  # one of the two stores was restored alone
    ROOMS_EXPORT = "registrar:rooms:export"  # a file for the comparator, to be carried by hand
    ROOMS_IMPORT = "registrar:rooms:import"  # and the answer to one
    ROOMS_ALARM = "registrar:rooms:alarm"  # the comparator delivered what was not ordered

    # The comparator's own log.
    UPLOAD_OPEN = "site:upload:open"
    UPLOAD_COMPLETE = "site:upload:complete"
    UPLOAD_EXPIRE = "comparator:upload:expire"
    ROWS_ACCEPT = "comparator:rows:accept"
    ROWS_RETIRE = "comparator:rows:retire"
    ROWS_PURGE = "comparator:rows:purge"
    ROOMS_RECONCILE = "comparator:rooms:reconcile"
    WINDOW_FREEZE = "comparator:window:freeze"
    WINDOW_COMPARE = "comparator:window:compare"
    WINDOW_DELIVER = "comparator:window:deliver"

    REQUEST_REFUSED = "caller:request:refused"  # before it is known who calls
    SITE_REFUSED = "site:request:refused"
    STAFF_REFUSED = "staff:request:refused"
    PSEUDONYM_REFUSED = "site:pseudonym:refused"
    RECORD_REFUSED = "site:record:refused"
    UPLOAD_REFUSED = "site:upload:refused"
    MAP_REFUSED = "site:map:refused"
    KEY_REFUSED = "operator:key:refused"
    STUDY_REFUSED = "operator:study:refused"
    RUN_REFUSED = "operator:run:refused"
    RELEASE_REFUSED = "operator:release:refused"
    APPROVAL_REFUSED = "approver:release:refused"
    REIDENTIFY_REFUSED = "site:reidentification:refused"
    REIDENTIFY_APPROVAL_REFUSED = "approver:reidentification:refused"


# What the comparator can have done. Anything else in its log would mean that it learnt of persons or pseudonyms.
COMPARATOR_EVENTS: Final = frozenset(
    {
        Event.INSTANCE_INITIALISE,
        Event.INSTANCE_START,
        Event.INSTANCE_STOP,
        Event.INSTANCE_BACKUP,
        Event.INSTANCE_RESTORE,
        Event.KEY_CREATE,
        Event.KEY_ROTATE,
        Event.KEY_LEAK,
        Event.KEY_COMPROMISE,
        Event.KEY_DESTROY,
        Event.KEY_PROPOSE,  # of a comparator of its own, whose people are on file there
        Event.KEY_APPROVE,
        Event.KEY_VERIFY,
        Event.KEY_SCHEDULE,
        Event.STUDY_PARAMS,
        Event.STUDY_CLOSE,
        Event.UPLOAD_OPEN,
        Event.UPLOAD_COMPLETE,
        Event.UPLOAD_EXPIRE,
        Event.ROWS_ACCEPT,
        Event.ROWS_RETIRE,
        Event.ROWS_PURGE,
        Event.ROOMS_RECONCILE,
        Event.ENROLMENT_ALLOW,
        Event.ENROLMENT_CREATE,
        Event.ENROLMENT_REDEEM,
        Event.ENROLMENT_FORGET_ROWS,
        Event.SITE_CREATE,  # of a comparator of its own, which lets clients in itself
        Event.STAFF_CREATE,
        Event.TOKEN_ISSUE,
        Event.TOKEN_REVOKE,
        Event.TOKEN_RECOVER,
        Event.CERTIFICATE_BIND,
        Event.CERTIFICATE_REVOKE,
        Event.WINDOW_FREEZE,
        Event.WINDOW_COMPARE,
        Event.WINDOW_DELIVER,
        Event.LOG_EXPORT,
        Event.LOG_CHECKPOINT,
        Event.LOG_COSIGN,
        Event.REQUEST_REFUSED,
        Event.SITE_REFUSED,
        Event.STAFF_REFUSED,
        Event.UPLOAD_REFUSED,
    }
)
EVENTS: Final = {event.value: event for event in Event}


class Outcome(StrEnum):
    """How it ended. `begun` is an intent, logged before the effect; `refused` goes with refusals only."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
