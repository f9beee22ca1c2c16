"""Types that both message families share."""

from __future__ import annotations

from typing import Annotated

import msgspec

# "$" also matches before a trailing newline in Python; a negative look-ahead ends the string in both
# Python and ECMAScript, so the OpenAPI document states exactly what is enforced.
_END = "(?![\\s\\S])"

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^[a-z0-9]+(-[a-z0-9]+)*{_END}",
        max_length=63,
        description="lower-case letters, digits and single hyphens",
    ),
]
DomainName = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^[a-z0-9]+([.-][a-z0-9]+)*{_END}",
        max_length=200,
        description="a name; domains of a study are study.site and study.recipient.name",
    ),
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=f"^[^\\x00-\\x1f\\x7f]+{_END}")]
Hex16 = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{32}}{_END}", description="16 bytes as lower-case hex")]
# The same where there are many: msgspec would call the pattern for each, so whoever takes them looks at all together.
ManyHex16 = Annotated[
    str,
    msgspec.Meta(
        min_length=32,
        max_length=32,
        description="16 bytes as lower-case hex",
        extra_json_schema={"pattern": f"^[0-9a-f]{{32}}{_END}"},
    ),
]
Hex32 = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{64}}{_END}", description="32 bytes as lower-case hex")]
Day = Annotated[str, msgspec.Meta(pattern=f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_END}", description="YYYY-MM-DD")]
Policies = Annotated[list[Annotated[str, msgspec.Meta(max_length=200)]], msgspec.Meta(max_length=50)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every message: immutable, and unknown fields are refused, not ignored."""
