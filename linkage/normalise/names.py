"""German names: titles, particles, double names in either order, several given names, placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from linkage.letters import fold

_WORD = re.compile(r"[^\W\d_]+")
_BRACKETS = re.compile(r"\([^)]*\)?|\[[^\]]*\]?")
_BIRTH_NAME = re.compile(r"(?<=\w)[\s,;]+(?:geb|geborene?r?|nee)\b.*")
_BORN = re.compile(r"(?<=\w)[\s,;([]+(?:geb|geborene?r?|nee)\b[.:]?([^)\]]*)")
_REPEATED = re.compile(r"(.)\1{2,}")
_PRINTED_INITIALS = re.compile(r"\b(?:h\.? ?c|n\.? ?n)\b\.?")


def _set(words: str) -> frozenset[str]:
    return frozenset(map(fold, words.split()))


_TITLES = _set(
    "dr drs prof professor professorin doktor pd priv doz dozent med dent vet rer nat phil jur iur theol oec pol "
    "päd paed ing dipl diplom mag msc bsc mba phd habil univ lic hc mult"
)
_ADDRESSES = _set("herr herrn frau fr hr familie sr schwester pater jun jr junior sen senior ii iii iv")
# Orders stand behind the names of their members; Bruder and Frater before a given name, while Bruder is a surname too.
_ORDERS = _set("osb ofm ofmcap ofmconv ocd ocist ocso osf op sj sdb svd cssr opraem")
_BROTHERS = _set("bruder frater ordensschwester ordensbruder")
_NO_SURNAME_PART = _TITLES | _ADDRESSES | _ORDERS
_NO_GIVEN_PART = _NO_SURNAME_PART | _BROTHERS
# Phil, Jun or Sen may be all there is of a name; these never are.
_NEVER_A_GIVEN_NAME = _set("dr drs prof professor professorin doktor med dipl herr herrn frau hr fr familie")
_NOBILITY = _set(
    "graf gräfin graefin freiherr freifrau freiin frhr frfr baron baronin baronesse ritter edler edle fürst fürstin "
    "prinz prinzessin herzog herzogin erbgraf reichsgraf"
)
_PARTICLES = _set(
    "von vom v van vande vander vanden zu zum zur der den dem des auf aus im am an ter ten te de del della delle di "
    "da das do dos du la le les el al ul und y e af av"
)
_NOBLE_PARTICLES = _set("von vom zu zum zur v")
_NO_GIVEN_NAME = _set(
    "unbekannt unbekannte unbekannter unknown vorname name nn n x baby knabe mädchen maedchen mädel junge bub säugling "
    "saeugling neugeborenes neugeborene neugeborener frühgeburt zwilling zwillinge drilling sohn tochter kind fetus "
    "fötus totgeburt patient patientin anonym anonymus ohne keine kein"
)
_NO_SURNAME = _set(
    "unbekannt unbekannte unbekannter unknown nachname familienname name nn n x anonym anonymus ohne keine keiner"
)
_NO_SURNAME_PHRASES = frozenset(("nicht bekannt", "nicht angegeben", "keine angabe", "ohne angabe", "k a"))

# Given names that are written as one word, with a hyphen or with a blank: Karlheinz, Karl-Heinz, Karl Heinz.
_JOIN_FIRST = _set("karl carl hans heinz klaus franz ernst friedrich wolf horst kai jan anne anna eva marie rose hanne")
_JOIN_SECOND = _set(
    "heinz peter dieter jürgen joachim werner georg josef günter günther ulrich martin otto jörg walter wilhelm "
    "hermann helmut gerd jochen christian rainer uwe michael friedrich marie maria luise lore liese katrin kathrin "
    "margret grete rose linde"
)


class Name(NamedTuple):
    """A normalised name.

    Attributes:
        value: what enters the filter, "" = missing.
        head: the word from which the components are made, "" = missing.
        warning: "" or what was noticed.
    """

    value: str
    head: str
    warning: str = ""


def given_name(raw: str) -> Name:
    """A given name: titles and initials dropped, all names joined, the first one as head."""
    return _settled(_given_name, raw)


def surname(raw: str) -> Name:
    """A surname: titles, nobility and particles dropped, the parts of a double name in alphabetical order."""
    return _settled(_surname, raw)


def further_given_names(raw: str) -> tuple[str, ...]:
    """The given names behind the first one, each as a value of its own; none if the name is missing."""
    value = given_name(raw).value
    words = _given_words(raw) if value else []
    found = [given_name(word).value for word in words if len(words) > 1]
    return tuple(dict.fromkeys(v for v in found[1:] if v and v != found[0]))


def further_surnames(raw: str) -> tuple[str, ...]:
    """Other surnames that a surname tells of: the birth name behind "geb.", then the parts of a double name but the
    head, each as a value of its own.
    """
    name = surname(raw)
    born = _BORN.search(fold(raw))
    found = [surname(born[1]).value] if born else []
    found += [surname(part).value for part in name.value.split(" ")[1:]]
    return tuple(dict.fromkeys(v for v in found if v and v != name.value))


def _settled(rule: Callable[[str, bool], Name], raw: str) -> Name:
    """The rule, and again on its own value until that stays: what is put together may read like a title."""
    name = rule(raw, True)
    while name.value:
        again = rule(name.value, False)
        if again.value == name.value:
            break
        name = again
    return name


def _given_words(raw: str) -> list[str]:
    """The words of a given name without titles, particles and initials."""
    words = _without(_words(raw), _NO_GIVEN_PART)
    if not words or words[0] in _NEVER_A_GIVEN_NAME or words[0] in _NO_GIVEN_NAME:
        return words
    while len(words) > 1 and words[-1] in _PARTICLES:
        words.pop()
    return [part for word in _without_initials(words) for part in _split_joined(word)]


def _given_name(raw: str, _: bool) -> Name:
    words = _given_words(raw)
    if not words:
        return _missing(raw)
    if words[0] in _NEVER_A_GIVEN_NAME:
        return Name("", "", "title_only")
    if words[0] in _NO_GIVEN_NAME or _REPEATED.fullmatch("".join(words)):
        return Name("", "", "placeholder")
    return Name("".join(words), words[0])


def _surname(raw: str, as_written: bool) -> Name:
    words = _words(raw)
    if not words:
        return _missing(raw)
    if all(w in _TITLES for w in words):
        return Name("", "", "title_only")
    words = _without(words, _NO_SURNAME_PART)
    phrase = " ".join(words)
    if all(w in _NO_SURNAME for w in words) or phrase in _NO_SURNAME_PHRASES or _REPEATED.fullmatch(phrase):
        return Name("", "", "placeholder")
    if len(words) > 1:
        # A value no longer tells Graf-Müller, a double name, from Graf Müller, a title: only what was written does.
        words = _without_nobility(words, fold(raw)) if as_written else words
        words = _without_initials(_without(words, _PARTICLES))
        words.sort()
    return Name(" ".join(words), words[0])


def _missing(raw: str) -> Name:
    return Name("", "", "no_letters" if raw.strip() else "")


def _words(raw: str) -> list[str]:
    text = fold(raw)
    if text.isalpha():
        return [text]
    text = _BRACKETS.sub(" ", text)
    text = _BIRTH_NAME.sub("", text)
    text = _PRINTED_INITIALS.sub(lambda m: " nn " if m[0][0] == "n" else " ", text)
    # An apostrophe is part of a name: O'Brien and OBrien are one.
    return _WORD.findall(text.replace("'", ""))


def _without(words: list[str], drop: frozenset[str]) -> list[str]:
    """The words that are not to be dropped; all of them if nothing would be left."""
    return [w for w in words if w not in drop] or words


def _without_initials(words: list[str]) -> list[str]:
    left = [w for w in words if len(w) > 1]
    return left or words


def _without_nobility(words: list[str], text: str) -> list[str]:
    """Graf is a frequent surname: it is a title before a blank and another word, or beside von and zu."""
    if any(w in _NOBLE_PARTICLES for w in words):
        return _without(words, _NOBILITY)
    if words[0] in _NOBILITY and text.lstrip().startswith(words[0] + " "):
        return words[1:]
    return words


def _split_joined(word: str) -> list[str]:
    if len(word) > 6:
        for cut in range(3, min(len(word) - 2, 10)):
            if word[:cut] in _JOIN_FIRST and word[cut:] in _JOIN_SECOND:
                return [word[:cut], word[cut:]]
    return [word]
