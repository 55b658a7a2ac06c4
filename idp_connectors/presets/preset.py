"""What a preset is made of, and what is done with one: filling settings, explaining errors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from idp_connectors.base import GroupKind
from idp_connectors.errors import ConnectorError, ConnectorErrorCode

Given = Literal["callback_url", "entity_id", "base_url", "sign_out_url", "signed_out_url"]
"""An address of the broker that the provider's console wants.

The first three are named as in `LoginRequest`. At `sign_out_url` the provider tells that people left, to
`signed_out_url` it sends those who left here.
"""

_PLACE = re.compile(r"\$\{([a-z_]+)\}")
MAX_ANSWER_CHARS = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Something that the administrator brings from the provider's console.

    `console` names it as the console does; `pattern` is what a right value looks like, as a whole.
    """

    name: str
    title: str
    console: str
    pattern: str
    example: str
    is_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """A value of ours to copy into a field of the provider's console; an optional one may be left out."""

    console: str
    value: Given
    is_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStrategy:
    """How groups arrive: which sort of name, up to how many, and what helps when there are more.

    `console` is where the provider's administrator decides what is sent.
    """

    kind: GroupKind
    limit: int | None
    advice: str
    console: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One thing that goes wrong often: how it shows, why, and what to change where.

    `code` is how our connector reports it; `sign` is a text that the provider shows or sends, if any.
    """

    code: ConnectorErrorCode
    sign: str = ""
    cause: str
    fix: str
    console: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A provider by one protocol; `settings` fill the connector's model, `${name}` stands for a `Take`.

    `our_keys` is where the console takes a certificate of ours, empty where it takes none.
    `claims` says which upstream name fills which field of an identity. `subject_is_weak` marks an identifier
    that the provider may give to somebody else one day; `subject_why` says it in a sentence.
    """

    takes: tuple[Take, ...]
    gives: tuple[Give, ...]
    settings: Mapping[str, Any]
    claims: Mapping[str, str]
    groups: GroupStrategy
    steps: tuple[str, ...]
    mishaps: tuple[Mishap, ...] = ()
    our_keys: str = ""
    subject_why: str
    subject_is_weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A make of identity provider: what people call it, and what it offers by connector kind."""

    title: str
    sides: Mapping[str, Side] = field(default_factory=dict)


def fill(side: Side, answers: Mapping[str, str]) -> dict[str, Any]:
    """Return the connection's settings, secrets included, for what the administrator brought.

    Raises ConnectorError that names the first answer that is absent, unknown or shaped wrongly, and never
    repeats it. The connector's own model judges the result.
    """
    for name, fault in find_wrong_answers(side, answers).items():
        raise ConnectorError(ConnectorErrorCode.CONFIG_INVALID, fault, field=name)
    cleaned = {take.name: answers[take.name].strip() for take in side.takes}
    return {name: _filled(value, cleaned) for name, value in side.settings.items()}


def fill_partly(side: Side, answers: Mapping[str, str]) -> dict[str, Any]:
    """Return those settings whose answers are there and right, for a form that is not complete yet."""
    wrong = find_wrong_answers(side, answers)
    cleaned = {take.name: answers.get(take.name, "").strip() for take in side.takes}
    return {
        name: _filled(value, cleaned)
        for name, value in side.settings.items()
        if takes_in(value) and not wrong.keys() & set(takes_in(value))
    }


def answers_in(side: Side, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers that lead to these settings, as far as they can be told: `fill` the other way."""
    known = {take.name: take for take in side.takes}
    found: dict[str, str] = {}
    for name, template in side.settings.items():
        value = settings.get(name)
        if isinstance(template, tuple) and len(template) == 1 and isinstance(value, tuple | list):
            # Several certificates are pasted one below the other.
            template, value = template[0], "\n".join(str(part) for part in value)
        if not isinstance(template, str) or not isinstance(value, str):
            continue
        literals, names = _PLACE.split(template)[::2], takes_in(template)
        if len(names) == 1 and len(literals) == 2:
            answer = value.removeprefix(literals[0]).removesuffix(literals[1])
            fits = value == literals[0] + answer + literals[1] and len(answer) <= MAX_ANSWER_CHARS
            if fits and re.fullmatch(known[names[0]].pattern, answer):
                found.setdefault(names[0], answer)
    return found


def find_wrong_answers(side: Side, answers: Mapping[str, str]) -> dict[str, str]:
    """Return a sentence for each answer that is absent, unknown or shaped wrongly; none repeats it."""
    known = {take.name for take in side.takes}
    faults = {name: "There is no such field." for name in answers if name not in known}
    for take in side.takes:
        answer = answers.get(take.name, "").strip()
        # Without this: what is pasted into one part of an address changes the rest of it.
        if len(answer) > MAX_ANSWER_CHARS or not re.fullmatch(take.pattern, answer):
            wrong = "does not look right" if answer else "is needed"
            faults[take.name] = f"{take.title} {wrong}. It is found under {take.console}."
    return faults


def takes_in(value: Any) -> tuple[str, ...]:
    """Return the names of the `Take`s that a value of `Side.settings` waits for; none if it is fixed."""
    if isinstance(value, str):
        return tuple(dict.fromkeys(_PLACE.findall(value)))
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return tuple(dict.fromkeys(name for part in value for name in takes_in(part)))
    return ()


def explain(side: Side, code: ConnectorErrorCode, detail: str = "") -> tuple[Mishap, ...]:
    """Return what probably went wrong, likeliest first; empty if the preset knows nothing of it.

    A mishap whose sign occurs in `detail` stands alone, the longest sign before those that it contains;
    without such a sign all of that code are returned.
    """
    signs = [mishap.sign for mishap in side.mishaps if mishap.sign and mishap.sign in detail]
    if signs:
        longest = max(signs, key=len)
        return tuple(mishap for mishap in side.mishaps if mishap.sign == longest)
    return tuple(mishap for mishap in side.mishaps if mishap.code == code)


def _filled(value: Any, answers: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda place: answers[place.group(1)], value)
    if isinstance(value, tuple):
        return [_filled(part, answers) for part in value]
    if isinstance(value, Mapping):
        return {name: _filled(part, answers) for name, part in value.items()}
    return value
