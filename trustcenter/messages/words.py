"""Closed lists of words that commands offer and messages hold. Needs no library, so that help comes at once."""

from __future__ import annotations

from typing import Literal

# Of a steward's answer to a clearing task.
ClearingReason = Literal[
    "evidence-strong",  # many edges of a near level
    "evidence-weak",
    "rival-better",  # another pair of one of the two has the better evidence
    "no-rival",
    "site-confirmed",  # the sites have looked at their own records
    "site-denied",
    "reported-error",  # the recipient or a site reports that the two were wrongly joined or parted
]
# Of a site that was asked about a record of its own.
SiteAnswer = Literal[
    "right",  # looked at again, and right
    "changed",  # it was wrong; the site sends it again
    "mixed",  # it holds the data of more than one person
    "unsure",  # it cannot be found out
]
# Of a site's results.
ResultFormat = Literal["csv", "ndjson", "parquet", "fhir"]
