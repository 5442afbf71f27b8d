"""Settings of a dataclass as flags, checks and commands."""

from dataclasses import MISSING, dataclass
from typing import Literal

import pytest
from absl import flags
from refusals import refused

from mnv3_tf.ui.settings import Checked, command, define, read, setting


@dataclass(frozen=True)
class Oven(Checked):
    dish: str = setting(MISSING, "What is baked.")
    minutes: int = setting(10, "How long.", least=1, most=90)
    heat: float | None = setting(None, "Degrees.", above=0)
    mode: Literal["top", "both"] = setting("both", "Where heat comes from.")
    shelves: tuple[int, ...] = setting((1, 2), "Which are used.", least=1)
    guests: tuple[str, ...] = setting((), "Who comes.", repeated=True)
    fan: bool = setting(False, "Stir the air.", flag="stir")
    size: tuple[int, int] | None = setting(
        None, "WIDTHxHEIGHT.", read=lambda text: tuple(map(int, text.split("x")))
    )
    note: str = "no flag"


def parsed(*words: str, **changes) -> flags.FlagValues:
    values = flags.FlagValues()
    define(values, Oven, **changes)
    values(["oven", *words])
    return values


def test_defaults_are_those_of_the_fields():
    assert read(parsed("--dish=bread"), Oven) == Oven("bread")
    assert Oven("bread") == Oven("bread", 10, None, "both", (1, 2), (), False, None)


def test_every_kind_of_flag_is_read():
    words = ["--dish=pie", "--minutes=45", "--heat=180.5", "--mode=top", "--shelves=3,1"]
    words += ["--guests=a, b", "--guests=c", "--stir"]
    expected = Oven("pie", 45, 180.5, "top", (3, 1), ("a, b", "c"), True)
    assert read(parsed(*words), Oven) == expected


def test_fields_may_be_given_left_out_and_have_other_defaults():
    values = parsed("--minutes=3", without=["dish"], defaults={"mode": "top"})
    assert "dish" not in values
    assert read(values, Oven, dish="tart") == Oven("tart", 3, mode="top")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minutes": 0}, "--minutes=0 is too small; give at least 1."),
        ({"minutes": 91}, "--minutes=91 is too large; give at most 90."),
        ({"heat": 0.0}, "--heat=0.0 is too small; give more than 0."),
        ({"mode": "left"}, "--mode=left is not one of top, both."),
        ({"shelves": (1, 0)}, "--shelves=0 is too small; give at least 1."),
        ({"heat": float("nan")}, "--heat=nan is too small; give more than 0."),
    ],
    ids=str,
)
def test_bounds_and_choices_hold_however_it_is_made(changes, said):
    with refused(said):
        Oven("bread", **changes)


def test_the_bounds_themselves_are_allowed():
    assert (Oven("b", 1).minutes, Oven("b", 90).minutes) == (1, 90)


def test_numbers_in_a_list_are_numbers():
    with refused("--shelves=1,two must be whole numbers, with commas."):
        read(parsed("--dish=b", "--shelves=1,two"), Oven)


def test_help_lists_the_choices():
    assert "One of top, both." in parsed()["mode"].help


def test_a_command_has_what_is_not_by_default_and_is_read_back():
    oven = Oven("a pie", 45, mode="top", shelves=(3,), guests=("x y", "z"), fan=True)
    told = command("kitchen bake", oven, more=["--cook=me"])
    assert told == (
        "python -m kitchen bake --cook=me '--dish=a pie' --minutes=45 --mode=top --shelves=3 "
        "'--guests=x y' --guests=z --stir"
    )
    words = [
        "--dish=a pie",
        "--minutes=45",
        "--mode=top",
        "--shelves=3",
        "--guests=x y",
        "--guests=z",
        "--stir",
    ]
    assert read(parsed(*words), Oven) == oven
    assert command("bake.py", Oven("b")) == "python bake.py --dish=b"
