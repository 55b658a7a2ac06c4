"""A connection's form, made from its connector's configuration model and, if there is one, a preset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pydantic

from broker.tenants.connections import find_faults
from idp_connectors.base import secret_fields
from idp_connectors.presets.preset import (
    Side,
    Take,
    answers_in,
    fill_partly,
    find_wrong_answers,
    takes_in,
)

Control = Literal[
    "text", "long", "secret", "number", "switch", "choice", "choices", "lines", "blocks", "pairs"
]
"""How a field is entered: one line, several, hidden, a list a line, a list of texts that have lines."""

_LONG = 2_000
_TAKE, _SET, _FORGET = "take-", "set-", "forget-"
FILLED = "filled"
"""The form was shown before: a box that is not ticked in it says no."""


@dataclass(frozen=True, slots=True)
class FormValues:
    """What a browser sent, by name; a name may come several times."""

    values: Mapping[str, Sequence[str]]

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of that name."""
        return next(iter(self.values.get(name, ())), default)

    def getlist(self, name: str) -> list[str]:
        """Return every value of that name."""
        return list(self.values.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field as ``parts/fields.html`` shows it; ``value`` is never that of a secret."""

    name: str
    label: str
    help: str
    control: Control
    is_required: bool = False
    value: str | bool = ""
    picked: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    example: str = ""
    is_stored: bool = False
    is_kept: bool = False
    forget_name: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a form says: settings with secrets as the model takes them, and what is wrong by field name."""

    given: dict[str, Any]
    errors: dict[str, str]


def new_fields(
    model: type[pydantic.BaseModel],
    side: Side | None,
    form: FormValues,
    errors: Mapping[str, str],
    *,
    make: str = "",
) -> tuple[list[FormField], list[FormField]]:
    """Return (what has to be brought, what can be left as it is) of a new connection.

    Settings that concern other makes of provider than ``make``, if one is named, are left out.
    """
    was_shown = bool(form.get(FILLED))
    settings = dict(side.settings) if side else {}
    open_names = [
        name
        for name in model.model_fields
        if not takes_in(settings.get(name, "")) and (name in settings or not is_foreign(model, name, make))
    ]
    values = read_settings(model, form, open_names) if was_shown else settings
    fields = [_field(model, name, values, errors) for name in open_names]
    needed = [one for one in fields if one.is_required and one.name.removeprefix(_SET) not in settings]
    brought = [
        FormField(
            name=_TAKE + take.name,
            label=take.title,
            # A fault says it too.
            help="" if _TAKE + take.name in errors else f"Found under {take.console}.",
            control=_take_control(take),
            is_required=True,
            value="" if take.is_secret else form.get(_TAKE + take.name),
            example="" if take.is_secret else take.example.partition("\n")[0],
            error=errors.get(_TAKE + take.name, ""),
        )
        for take in (side.takes if side else ())
    ]
    return [*brought, *needed], [one for one in fields if one not in needed]


def edit_fields(
    model: type[pydantic.BaseModel],
    values: Mapping[str, Any],
    stored: Iterable[str],
    errors: Mapping[str, str],
) -> tuple[list[FormField], list[FormField]]:
    """Return (what is needed, the rest) of a connection whose secrets named in ``stored`` are kept."""
    kept = set(stored)
    fields = []
    for name in model.model_fields:
        one = _field(model, name, values, errors)
        if name in kept:
            may_forget = not model.model_fields[name].is_required()
            one = replace(one, is_stored=True, forget_name=_FORGET + name if may_forget else "")
        fields.append(one)
    return [one for one in fields if one.is_required], [one for one in fields if not one.is_required]


def fill_new(model: type[pydantic.BaseModel], side: Side | None, form: FormValues) -> Filled:
    """Return what the form of a new connection says; each fault stands at the field that caused it."""
    settings = dict(side.settings) if side else {}
    waiting = {name: takes_in(value) for name, value in settings.items() if takes_in(value)}
    given = read_settings(model, form, [name for name in model.model_fields if name not in waiting])
    errors: dict[str, str] = {}
    if side is not None:
        answers = {take.name: form.get(_TAKE + take.name) for take in side.takes}
        wrong = find_wrong_answers(side, answers)
        errors = {_TAKE + name: fault for name, fault in wrong.items()}
        # What is right counts already: one wrong answer must not make the others look absent.
        given |= fill_partly(side, answers)
    for name, fault in find_faults(model, given).items():
        if name not in waiting:
            errors.setdefault(_SET + name if name else "", fault)
        elif not any(_TAKE + take in errors for take in waiting[name]):
            errors[_TAKE + waiting[name][0]] = fault
    # What is wrong with the whole may be no more than a field that lacks.
    if len(errors) > 1:
        errors.pop("", None)
    return Filled(given, errors)


def fill_edit(model: type[pydantic.BaseModel], form: FormValues, stored: Mapping[str, str]) -> Filled:
    """Return what the form of a stored connection says: an empty secret is kept, a new one replaces."""
    given = read_settings(model, form, list(model.model_fields))
    for name, secret in stored.items():
        if name not in given and not form.get(_FORGET + name):
            given[name] = secret
    errors = {_SET + name if name else "": fault for name, fault in find_faults(model, given).items()}
    return Filled(given, errors)


def read_settings(model: type[pydantic.BaseModel], form: FormValues, names: Sequence[str]) -> dict[str, Any]:
    """Return the settings of those names as the form has them; what is left empty takes the default."""
    schema = _schema(model)
    hidden = secret_fields(model)
    found: dict[str, Any] = {}
    for name in names:
        value = _read(form, _SET + name, _control(schema[name], name in hidden))
        if value is not None and not (value == "" and _empty_means_default(schema[name], name in hidden)):
            found[name] = value
    return found


def given_so_far(model: type[pydantic.BaseModel], side: Side | None, form: FormValues) -> dict[str, Any]:
    """Return what a form that is not complete says already; nothing of it is checked."""
    if side is None:
        return read_settings(model, form, list(model.model_fields))
    waiting = {name for name, value in side.settings.items() if takes_in(value)}
    given = read_settings(model, form, [name for name in model.model_fields if name not in waiting])
    return given | fill_partly(side, {take.name: form.get(_TAKE + take.name) for take in side.takes})


def with_settings(
    model: type[pydantic.BaseModel], side: Side | None, form: FormValues, settings: Mapping[str, Any]
) -> tuple[FormValues, tuple[str, ...]]:
    """Return the form with these settings in it, and the labels of what they do not answer.

    What a preset asks for in its own words is answered so; the rest goes to the setting's own field.
    """
    schema, hidden = _schema(model), secret_fields(model)
    answers = answers_in(side, settings) if side else {}
    waiting = {name for name, value in (side.settings if side else {}).items() if takes_in(value)}
    changed: dict[str, Sequence[str]] = {_TAKE + name: [value] for name, value in answers.items()}
    for name, value in settings.items():
        if name not in waiting and name in schema:
            shown = _shown(value, _control(schema[name], name in hidden))
            changed[_SET + name] = [str(shown)]
    fed = {take for name in waiting & set(settings) for take in takes_in(side.settings[name] if side else "")}
    left = tuple(take.title for take in (side.takes if side else ()) if take.name in fed - set(answers))
    return FormValues({**form.values, **changed}), left


def carried(model: type[pydantic.BaseModel], side: Side | None, form: FormValues) -> list[tuple[str, str]]:
    """Return what was entered so far, to be sent along while another step is shown; never a secret."""
    hidden = secret_fields(model)
    names = [_SET + name for name in model.model_fields if name not in hidden]
    names += [_TAKE + take.name for take in (side.takes if side else ()) if not take.is_secret]
    return [(name, value) for name in [*names, FILLED] for value in form.getlist(name)]


def secret_names(model: type[pydantic.BaseModel], side: Side | None) -> list[str]:
    """Return the names of a form's fields that take a secret."""
    names = [_SET + name for name in model.model_fields if name in secret_fields(model)]
    return names + [_TAKE + take.name for take in (side.takes if side else ()) if take.is_secret]


def mark_kept(field: FormField) -> FormField:
    """Return the field as one whose secret was typed already and is kept until the form is saved."""
    return replace(field, is_kept=True)


def _field(
    model: type[pydantic.BaseModel], name: str, values: Mapping[str, Any], errors: Mapping[str, str]
) -> FormField:
    schema, is_secret = _schema(model)[name], name in secret_fields(model)
    control = _control(schema, is_secret)
    value = "" if is_secret else values.get(name, schema.get("default"))
    examples = schema.get("examples") or [""]
    is_list = control in ("choices", "lines", "blocks", "pairs")
    return FormField(
        name=_SET + name,
        label=schema.get("title") or name,
        help=schema.get("description", ""),
        control=control,
        is_required=model.model_fields[name].is_required(),
        value=_shown(value, control),
        picked=tuple(str(one) for one in value or ()) if is_list else (),
        options=_options(schema.get("items", schema)),
        example="" if is_secret or not examples[0] else str(_shown(examples[0], control)).partition("\n")[0],
        error=errors.get(_SET + name, ""),
    )


def _schema(model: type[pydantic.BaseModel]) -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return fields


def is_foreign(model: type[pydantic.BaseModel], name: str, make: str) -> bool:
    """Whether a setting concerns other makes of provider than ``make``; no setting does if none is named."""
    schema = _schema(model)[name]
    return bool(make) and "makes" in schema and make not in schema["makes"]


def _control(schema: Mapping[str, Any], is_secret: bool) -> Control:
    if is_secret:
        return "long" if _longest(schema) > _LONG else "secret"
    if _options(schema):
        return "choice"
    items = schema.get("items", {})
    match _type_of(schema):
        case "boolean":
            return "switch"
        case "integer" | "number":
            return "number"
        case "object":
            return "pairs"
        case "array" if _options(items):
            return "choices"
        case "array":
            return "blocks" if _longest(items) > _LONG else "lines"
    return "long" if _longest(schema) > _LONG else "text"


def _take_control(take: Take) -> Control:
    # A certificate or a key file has lines; a field of one line would lose them.
    if r"\s" in take.pattern:
        return "long"
    return "secret" if take.is_secret else "text"


def _type_of(schema: Mapping[str, Any]) -> str:
    kinds = [schema, *schema.get("anyOf", ())]
    return next((str(one["type"]) for one in kinds if one.get("type", "null") != "null"), "string")


def _longest(schema: Mapping[str, Any]) -> int:
    return max(one.get("maxLength", 0) for one in [schema, *schema.get("anyOf", ())])


def _options(schema: Mapping[str, Any]) -> tuple[str, ...]:
    found: list[str] = []
    for one in [schema, *schema.get("anyOf", ())]:
        found += [str(value) for value in one.get("enum", ())]
        found += [str(one["const"])] if "const" in one else []
    return tuple(dict.fromkeys(found))


def _empty_means_default(schema: Mapping[str, Any], is_secret: bool) -> bool:
    may_be_null = any(one.get("type") == "null" for one in schema.get("anyOf", ()))
    return is_secret or may_be_null or _type_of(schema) in ("integer", "number") or bool(_options(schema))


def _read(form: FormValues, name: str, control: Control) -> Any:
    text = form.get(name).replace("\r\n", "\n")
    match control:
        case "switch":
            return bool(text)
        case "choices":
            return form.getlist(name)
        case "lines":
            return [line.strip() for line in text.split("\n") if line.strip()]
        case "blocks":
            return [block.strip() for block in text.split("\n\n") if block.strip()]
        case "pairs":
            parts = [line.partition("=") for line in text.split("\n") if line.strip()]
            return {key.strip(): value.strip() for key, _, value in parts}
    return text.strip()


def _shown(value: Any, control: Control) -> str | bool:
    if control == "switch":
        return bool(value)
    if control == "pairs" and isinstance(value, Mapping):
        return "\n".join(f"{name}={part}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ("\n\n" if control == "blocks" else "\n").join(str(one) for one in value)
    return "" if value is None else str(value)
