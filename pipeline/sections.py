"""Converts settings (dataclasses as in `aae.settings`) to pydantic sections that validate `params.yaml`, and back.

`aae` itself does not need pydantic. A section requires every key without a default, rejects unknown keys, and does not
convert values.
"""

import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, create_model

from aae.errors import InputError


class Section(BaseModel):
    """A mapping in params.yaml."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    settings: ClassVar[Any] = None  # the dataclass that this section was made from


@cache
def section_of(settings: type, kind: str | None = None) -> type[Section]:
    """The section for a dataclass of settings. If `kind` is given, a key `kind` comes before its own keys."""
    hints = get_type_hints(settings, include_extras=True)
    keys: dict[str, Any] = {} if kind is None else {"kind": (Literal[kind], Field(description="the kind of model"))}
    for field in fields(settings):
        default = ... if field.default is MISSING else field.default
        keys[field.name] = (translated(hints[field.name]), default)
    section = create_model(settings.__name__, __base__=Section, **keys)
    section.settings = settings
    return section


def translated(hint: Any) -> Any:
    """A field's type with sections in place of dataclasses, and a description in place of a string."""
    if get_origin(hint) is Annotated:
        base, *limits = get_args(hint)
        limits = [Field(description=limit) if isinstance(limit, str) else limit for limit in limits]
        return Annotated[(translated(base), *limits)]
    if get_origin(hint) in (Union, types.UnionType):
        sections = [section_of(option) for option in get_args(hint) if is_settings(option)]
        values = [option for option in get_args(hint) if not is_settings(option)]
        if not sections:
            return word_or_value(*values)
        return value_or_section(values[0], sections[0]) if values else one_of(sections)
    return section_of(hint) if is_settings(hint) else hint


def is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def value_or_section(value: Any, section: type[Section]) -> Any:
    """A mapping is read as the section, anything else as the value, so that an error message is about one of them."""
    options: Any = Annotated[value, Tag("value")] | Annotated[section, Tag("section")]
    return Annotated[options, Discriminator(lambda found: "section" if isinstance(found, dict | Section) else "value")]


def word_or_value(word: Any, value: Any) -> Any:
    """A string is read as the word, a Literal, and anything else as the value, for the same reason."""
    options: Any = Annotated[word, Tag("word")] | Annotated[value, Tag("value")]
    return Annotated[options, Discriminator(lambda found: "word" if isinstance(found, str) else "value")]


def one_of(sections: list[type[Section]]) -> Any:
    """One of several sections by its `kind`; the name of a kind alone means that kind with its defaults."""
    names = tuple(section.model_fields["kind"].default for section in sections)
    options = reduce(or_, sections)
    named = BeforeValidator(
        lambda found: {"kind": found} if isinstance(found, str) else found,
        json_schema_input_type=Literal[names] | options,
    )
    return Annotated[Annotated[options, Field(discriminator="kind")], named]


def settings_of(value: Any, key: str) -> Any:
    """The settings in a validated section; any other value is returned unchanged.

    Raises InputError, which begins with `key`, for values that a dataclass rejects.
    """
    if not isinstance(value, Section):
        return value
    names = [field.name for field in fields(value.settings)]
    found = {name: settings_of(getattr(value, name), f"{key}.{name}") for name in names}
    try:
        return value.settings(**found)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
