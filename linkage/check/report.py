"""The data-quality report: counts only, and what they mean for a linkage."""

from __future__ import annotations

import msgspec

from linkage.wording import counted

FEW = 3  # live passes below which a record can hardly be linked
_MANY_FEW = 0.02  # share of such records above which it is said
_ALIKE = 0.002  # shares of such records that differ less are one
_KIN = {"hyb15": "self15", "fine16": "self15", "wide22": "self22"}  # the one on which relatives agree less
_MORE = ("wide22", "self22")  # hold the rows of the others, and those of further values and insured numbers
_MOST = 60_000  # records
_HOMES = 0.1  # share of records at the address of another one above which a source has households
_COARSE_DEAD = 0.8  # share of capped rows in coarse passes above which they do no work
_CODES = {
    "missing": "{name}: {share:.0%} of the records lack it",
    "no_column": "{name}: the file has no such column, or none that was recognised",
    "placeholder": "{name}: {count:,} with a placeholder or default value, taken as missing",
    "wrong_check_digit": "{name}: {count:,} with a wrong check digit, dropped",
}


class FieldReport(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the schema.

    Attributes:
        name: of the field.
        missing: records without a usable value.
        noticed: what normalisation noticed → count.
    """

    name: str
    missing: int
    noticed: dict[str, int]


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pass.

    Attributes:
        name: of the pass.
        cap: of the pass.
        values: rows of a record in the pass.
        missing: rows for which there is no block value: a component or a further value is missing.
        capped: rows whose block is over the cap.
        live: rows that live.
        blocks: different block values.
        largest: rows in the largest block.
        sizes: rows in blocks of 1, 2, 3-4, 5-8, 9-16, … rows.
    """

    name: str
    cap: int
    values: int
    missing: int
    capped: int
    live: int
    blocks: int
    largest: int
    sizes: list[int]


class ProfileReport(msgspec.Struct, frozen=True, kw_only=True):
    """One set of passes on this source.

    Attributes:
        profile: its name.
        own: whether it is the profile of the schema.
        passes: names of its passes.
        live: live rows → records, from 0 to all.
        few: records with fewer than three.
        densities: whether densities ship for it; without them a study calibrates its own.
    """

    profile: str
    own: bool
    passes: list[str]
    live: list[int]
    few: int
    densities: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A source, as far as counts tell.

    Attributes:
        format: of this report.
        schema: name of the schema.
        records: of the source.
        ids_empty: records without an id.
        ids_repeated: records whose id an earlier record has.
        same_in_all: records that equal an earlier one in every normalised value.
        same_person: records that equal an earlier one in both names and the full date of birth.
        fields: of the schema.
        further: further surnames (birth names, parts of double names), given names and addresses → records with any,
            where a pass of the schema takes them.
        passes: of all profiles that were looked at.
        profiles: the schema's own first.
        recommended: the profile that suits the source best.
        recommended_schema: the schema of it, where one ships for the same fields.
        advice: sentences for a person.
    """

    format: str = "trustcenter/source-check/3"
    schema: str
    records: int
    ids_empty: int
    ids_repeated: int
    same_in_all: int
    same_person: int
    fields: list[FieldReport]
    further: dict[str, int]
    passes: list[PassReport]
    profiles: list[ProfileReport]
    recommended: str
    recommended_schema: str | None
    advice: list[str]


def recommend(profiles: list[ProfileReport], passes: list[PassReport], records: int, shared: float) -> str:
    """The profile with the fewest records that can hardly be linked; of equals the one whose passes do most work.

    A profile with further values and insured numbers stays, since it holds the rows of the others too. Where many
    records live at the address of another it is `self15` or `self22`, if that leaves few of them without passes:
    relatives agree on fewer of its passes, which weighs more. They were not measured above 60,000 records.

    Args:
        profiles: the schema's own first.
        passes: of all of them.
        records: of the source.
        shared: share of the addresses that several records have.
    """
    if not records:
        return profiles[0].profile
    by_name = {p.name: p for p in passes}
    offered = [p for p in profiles if p.own or p.profile not in _KIN.values()]
    least = min(p.few for p in offered) / records
    good = [p for p in offered if p.few / records - least <= _ALIKE]

    def works(profile: ProfileReport) -> float:
        own = [by_name[name] for name in profile.passes]
        rows = sum(p.values for p in own)
        return sum(p.live for p in own if p.capped <= _COARSE_DEAD * p.values * records) / (rows * records)

    # Densities that ship were measured; a profile without them must be better, not equal.
    best = max(good, key=lambda p: (round(works(p), 2), p.densities, p.own)).profile
    if profiles[0].profile in _MORE:
        best = profiles[0].profile
    kin = [p for p in profiles if p.profile == _KIN.get(best) and p.few <= _MANY_FEW * records]
    return kin[0].profile if kin and shared > _HOMES and records <= _MOST else best


def advise(
    fields: list[FieldReport],
    passes: list[PassReport],
    profiles: list[ProfileReport],
    recommended: str,
    counts: dict[str, int],
    named: str | None,
) -> list[str]:
    """What a person should know, most important first; `named` is the schema of the recommended profile."""
    n = counts["records"]
    if not n:
        return ["the source has no records"]
    said: list[str] = []
    if counts["ids_empty"] or counts["ids_repeated"]:
        bad = counts["ids_empty"] + counts["ids_repeated"]
        said.append(f"{counted(bad, 'record')} without an id of their own: encoding will refuse the file")
    own = profiles[0]
    if own.few > _MANY_FEW * n:
        said.append(f"{own.few:,} of {counted(n, 'record')} with fewer than {FEW} live passes: can hardly be linked")
    if recommended != own.profile:
        chosen = next(p for p in profiles if p.profile == recommended)
        calibrate = "" if chosen.densities else "; no densities ship for it: the study calibrates its own"
        what = f"the profile {recommended}" if named is None else f"the schema {named} (profile {recommended})"
        said.append(f"{what} suits this source better than the profile {own.profile}{calibrate}")
    names = {f.name for f in fields}
    present = {f.name for f in fields if f.missing < 0.9 * n}
    if names & {"street", "postcode"} and not present & {"street", "postcode"}:
        said.append("names and birth date only: expect a recall clearly below that with addresses")
    if "insured_number" not in names and n > 200_000:
        said.append("above 200,000 records a pass on the insured number helps most, where both sources have it")
    if counts["same_person"]:
        said.append(
            f"{counted(counts['same_person'], 'record repeats', 'records repeat')} both names and the birth date of"
            " another: run `linkage dedupe`"
        )
    for f in fields:
        if f.noticed.get("no_column"):
            said.append(_CODES["no_column"].format(name=f.name))
        elif f.missing > 0.1 * n:
            said.append(_CODES["missing"].format(name=f.name, share=f.missing / n))
        said += [
            _CODES[what].format(name=f.name, count=f.noticed[what])
            for what in ("placeholder", "wrong_check_digit")
            if f.noticed.get(what)
        ]
    said += [
        f"{p.largest:,} records share one value in the pass {p.name}: is it a default value?"
        for p in passes
        if p.name in own.passes and p.largest > max(50, 0.05 * n)
    ]
    return said or ["nothing conspicuous"]
