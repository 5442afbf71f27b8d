"""The fitted constants of every core and how far to trust them: constants.json, made by
`python -m benchmark arm --fit` and read by `estimate`."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, cast

from mnv3_tf.errors import UserError
from mnv3_tf.files import read_object, write_json

REMEDY = "make it with python -m benchmark arm --fit"
FITTED = Path(__file__).parent / "constants.json"


@dataclass(frozen=True)
class Constants:
    cycles: float
    ns_per_byte: float

    def ms(self, instructions: float, weight_bytes: float, ghz: float) -> float:
        return (self.cycles * instructions / ghz + self.ns_per_byte * weight_bytes) / 1e6


Known = Literal["anchored", "borrowed"]


class CoreConstants(TypedDict):
    """`grade` is "anchored" with points of this core, precision and runtime, `points` so many, of
    the `families`; their instructions go from `least` to `most`, 0 of a borrowed one.

    An interval goes from ms / `factor` to ms * `factor`.
    """

    core: str
    quantize: str
    runtime: str
    cycles: float
    ns_per_byte: float
    grade: Known
    points: int
    families: list[str]
    least: int
    most: int
    factor: float


class Errors(TypedDict):
    """Of points left out, of a precision and runtime: parts of the published time.

    `core` is None for all cores together. `held` is the part within the interval that all others
    make, None where `by` is "macs", which has none.
    """

    left_out: str
    by: str
    quantize: str
    runtime: str
    core: str | None
    points: int
    median: float
    p90: float
    worst: float
    held: float | None


class Fitted(TypedDict):
    counted_with: str
    constants: list[CoreConstants]
    errors: list[Errors]


def write(found: Fitted, path: Path = FITTED) -> None:
    write_json(path, found)


@functools.cache
def read(path: Path = FITTED) -> Fitted:
    """Raises UserError where they were not fitted."""
    found = read_object(path, REMEDY)
    if found is None:
        raise UserError(f"There is no {path}; {REMEDY}.")
    return cast(Fitted, found)
