"""Typed tables in TOML: a frozen dataclass from a table and back, with errors that name the section and the value."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from .errors import InputError, unknown_name

T = TypeVar("T")


def parse(content: bytes | str, source: str) -> dict[str, Any]:
    """The table of TOML text.

    Args:
        content: the text, or a file's bytes.
        source: what it is, for messages.

    Raises:
        InputError: it is not TOML.
    """
    try:
        return tomllib.loads(content if isinstance(content, str) else content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source} is not valid TOML: {error}") from error


def from_table(cls: type[T], table: Mapping[str, Any], section: str) -> T:
    """An instance of the dataclass `cls` from a TOML table whose keys are the names of its fields.

    Types come from the annotations of `cls`: bool, int, float (integers too), str, Literal, tuple, Mapping[str, ...],
    other dataclasses, and unions of these. An optional field may be left out.

    Args:
        cls: a dataclass.
        table: what `tomllib` made of the section.
        section: its name, for messages.

    Raises:
        InputError: an unknown key, a missing one, a value of the wrong type, or whatever `cls` itself refuses.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"{section} = {_shorten(table)}; a table is needed")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    check_keys(table, list(fields), section)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise InputError(f"[{section}] has no {name!r}; it is needed")
    return cls(**{key: convert(value, hints[key], section, key) for key, value in table.items()})


def check_keys(table: Mapping[str, Any], known: list[str], section: str) -> None:
    """Raises InputError if a key of `table` is not among the known ones, naming the nearest of them."""
    for key in table:
        if key not in known:
            raise InputError(unknown_name(key, known, f"key in [{section}]:" if section else "key or section"))


def convert(value: Any, hint: Any, section: str, key: str) -> Any:
    """`value`, from TOML, as the type `hint`.

    Raises:
        InputError: it is of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(value, hint, section, key)
    if origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, list):
            hints = [arguments[0]] * len(value) if arguments[1:] == (Ellipsis,) else list(arguments)
            if len(hints) == len(value):
                return tuple(convert(v, h, section, key) for v, h in zip(value, hints, strict=True))
    elif origin is not None:
        if isinstance(value, Mapping):
            return {k: convert(v, arguments[1], section, f"{key}.{k}") for k, v in value.items()}
    elif dataclasses.is_dataclass(hint):
        return from_table(typing.cast(type, hint), value, f"{section}.{key}" if section else key)
    # TOML's true is not a number, although Python's is.
    elif isinstance(value, bool) == (hint is bool) and isinstance(value, (int, float) if hint is float else hint):
        return float(value) if hint is float else value
    raise _refusal(value, hint, section, key)


def _convert_union(value: Any, hint: Any, section: str, key: str) -> Any:
    choices = [a for a in typing.get_args(hint) if a is not types.NoneType]
    if len(choices) == 1:
        return convert(value, choices[0], section, key)
    for choice in choices:
        try:
            return convert(value, choice, section, key)
        except InputError:
            continue
    raise _refusal(value, hint, section, key)


def _refusal(value: Any, hint: Any, section: str, key: str) -> InputError:
    where = f"[{section}] {key}" if section else key
    return InputError(f"{where} = {_shorten(value)}; {_describe(hint)} is needed")


def to_table(instance: Any) -> dict[str, Any]:
    """The table of a dataclass, without the fields that are None; `from_table` reverses it."""
    pairs = ((f.name, getattr(instance, f.name)) for f in dataclasses.fields(instance) if f.init)
    return {name: to_table(v) if dataclasses.is_dataclass(v) else v for name, v in pairs if v is not None}


def dump(table: Mapping[str, Any]) -> str:
    """TOML text of a table: its plain values first, then each table in it as a section of one line per key."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    for name, section in table.items():
        if isinstance(section, Mapping):
            lines += ["", f"[{_key(name)}]", *(f"{_key(k)} = {_value(v)}" for k, v in section.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"{value!r} has no form in TOML")


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(a) for a in arguments if a is not types.NoneType)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return f"an array, each element {_describe(arguments[0])},"
    if origin is tuple:
        return f"an array of {len(arguments)}, each {_describe(arguments[0])},"
    if origin is not None or dataclasses.is_dataclass(hint):
        return "a table"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}[hint]
