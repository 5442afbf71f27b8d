"""Settings written once: a field of a frozen dataclass is a flag, its help, its check and its word
in a command.

    @dataclass(frozen=True)
    class Settings(Checked):
        threads: int = setting(1, "Threads of the runtime.", least=1)
        delegate: Literal["xnnpack", "none"] = setting("xnnpack", "Who runs the operators.")

    define(values, Settings)           # --threads, --delegate, with help and defaults
    settings = read(args, Settings)    # checked; UserError names the flag and the remedy
    command("benchmark latency", settings)

From Python the same dataclass is made directly, and checked alike.
"""

import dataclasses
import shlex
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin

from absl import flags

from mnv3_tf.errors import UserError

_KEY = "setting"


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What a field says of itself; `read` makes its value of the flag's text."""

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[Any, ...] = ()
    flag: str | None = None
    read: Callable[[Any], Any] | None = None
    write: Callable[[Any], str] = str
    repeated: bool = False


class Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Made = TypeVar("Made", bound=Dataclass)


def setting(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    choices: Collection[Any] = (),
    flag: str | None = None,
    read: Callable[[Any], Any] | None = None,
    write: Callable[[Any], str] = str,
    repeated: bool = False,
) -> Any:
    """A field of a settings dataclass.

    Args:
      default: its value where nobody says otherwise; `dataclasses.MISSING` for none.
      help: one or two sentences for --help.
      least, most: bounds that are allowed; `above` is one that is not.
      choices: the values that are allowed, None apart; those of a Literal need no mention.
      flag: the flag's name where it is not the field's.
      read: makes the value of what was typed, where the type does not say how.
      write: gives back what to type for a value that `read` made.
      repeated: a tuple whose flag is given several times, rather than once with commas.
    """
    meaning = Meaning(help, least, most, above, tuple(choices), flag, read, write, repeated)
    return dataclasses.field(default=default, metadata={_KEY: meaning})


class Checked:
    """A base for settings whose fields are checked as they are made."""

    def __post_init__(self) -> None:
        check(self)


def check(settings: Any) -> None:
    """Raises UserError for the first field that is out of its bounds or choices."""
    kinds = typing.get_type_hints(type(settings))
    for field, meaning in _settings(type(settings)):
        value = getattr(settings, field.name)
        name = meaning.flag or field.name
        for one in value if isinstance(value, list | tuple) else (value,):
            _check_one(name, one, meaning, meaning.choices or _literals(kinds[field.name]))


def _check_one(name: str, value: Any, meaning: Meaning, choices: Sequence[Any]) -> None:
    if value is None:
        return
    if choices and value not in choices:
        listed = ", ".join(str(choice) for choice in choices if choice is not None)
        raise UserError(f"--{name}={value} is not one of {listed}.")
    if meaning.least is not None and not value >= meaning.least:
        raise UserError(f"--{name}={value} is too small; give at least {meaning.least}.")
    if meaning.above is not None and not value > meaning.above:
        raise UserError(f"--{name}={value} is too small; give more than {meaning.above}.")
    if meaning.most is not None and not value <= meaning.most:
        raise UserError(f"--{name}={value} is too large; give at most {meaning.most}.")


def define(
    values: flags.FlagValues,
    cls: type[Dataclass],
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """A flag for each setting of `cls`, `without` some fields, and with other `defaults`."""
    kinds = typing.get_type_hints(cls)
    for field, meaning in _settings(cls):
        if field.name in without:
            continue
        default = (defaults or {}).get(field.name, field.default)
        if default is dataclasses.MISSING:
            default = None
        name, kind = meaning.flag or field.name, _without_none(kinds[field.name])
        text = meaning.help
        choices = meaning.choices or _literals(kinds[field.name])
        if choices and not any(str(choice) in text for choice in choices if choice is not None):
            text = f"{text} One of {', '.join(str(c) for c in choices if c is not None)}."
        if meaning.read or kind is str or _literals(kind):
            shown = None if default is None else meaning.write(default)
            flags.DEFINE_string(name, shown, text, flag_values=values)
        elif get_origin(kind) is tuple:
            listed = [str(one) for one in default or ()]
            how = flags.DEFINE_multi_string if meaning.repeated else flags.DEFINE_list
            how(name, listed, text, flag_values=values)
        elif kind is bool:
            flags.DEFINE_bool(name, default, text, flag_values=values)
        elif kind is int:
            flags.DEFINE_integer(name, default, text, flag_values=values)
        elif kind is float:
            flags.DEFINE_float(name, default, text, flag_values=values)
        else:
            raise TypeError(f"{cls.__name__}.{field.name} is {kind}, of which no flag can be made.")


def read(args: flags.FlagValues, cls: type[Made], **given: Any) -> Made:
    """The settings that the flags say; `given` fields are not read.

    Raises UserError for what is no value of its field, or out of its bounds.
    """
    kinds = typing.get_type_hints(cls)
    for field, meaning in _settings(cls):
        if field.name not in given:
            name = meaning.flag or field.name
            given[field.name] = _value(name, args[name].value, meaning, kinds[field.name])
    return cls(**given)


def _value(name: str, value: Any, meaning: Meaning, kind: Any) -> Any:
    kind = _without_none(kind)
    if isinstance(value, list):
        of = get_args(kind)[0]
        try:
            return tuple(of(one) for one in value)
        except ValueError:
            what = "whole numbers" if of is int else "numbers"
            raise UserError(f"--{name}={','.join(value)} must be {what}, with commas.") from None
    return value if value is None or meaning.read is None else meaning.read(value)


def words(settings: Dataclass, without: Collection[str] = ()) -> list[str]:
    """The flags that give these settings, those at their defaults left out."""
    found = []
    for field, meaning in _settings(type(settings)):
        value = getattr(settings, field.name)
        if field.name in without or value == field.default or value is None:
            continue
        name = meaning.flag or field.name
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no{name}")
        elif meaning.read:
            found.append(f"--{name}={meaning.write(value)}")
        elif isinstance(value, list | tuple) and meaning.repeated:
            found += [f"--{name}={one}" for one in value]
        elif isinstance(value, list | tuple):
            found.append(f"--{name}={','.join(map(str, value))}")
        else:
            found.append(f"--{name}={value}")
    return found


def command(name: str, *settings: Dataclass, more: Sequence[str] = ()) -> str:
    """What to type for these settings: `name` is "benchmark latency", or "train.py"."""
    begin = ["python"] if name.endswith(".py") else ["python", "-m"]
    flagged = [word for one in settings for word in words(one)]
    return shlex.join([*begin, *name.split(), *more, *flagged])


def _settings(cls: type[Dataclass]) -> list[tuple[Any, Meaning]]:
    return [(f, f.metadata[_KEY]) for f in dataclasses.fields(cls) if _KEY in f.metadata]


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        kept = [arg for arg in get_args(kind) if arg is not type(None)]
        return kept[0] if len(kept) == 1 else Union[tuple(kept)]  # noqa: UP007
    return kind


def _literals(kind: Any) -> tuple[Any, ...]:
    kind = _without_none(kind)
    return get_args(kind) if get_origin(kind) is Literal else ()
