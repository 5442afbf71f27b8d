"""How a .tflite is to be read where it does not say so itself: flags that commands share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import InputRange, View
from mnv3_tf.tasks.specs import VIEW
from mnv3_tf.ui.settings import Checked, setting


def parse_shape(text: str) -> tuple[int, ...]:
    """ "1x224x224x3". Raises UserError for anything else."""
    sides = text.lower().replace(",", "x").split("x")
    if not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise UserError(f"--input_shape={text} must be sides, such as 1x224x224x3.")
    return tuple(map(int, sides))


def shape_text(shape: Sequence[int]) -> str:
    """What `parse_shape` reads as it."""
    return "x".join(map(str, shape))


def shape_setting() -> tuple[int, ...] | None:
    """The flag --input_shape, for every settings dataclass that has it."""
    return setting(
        None,
        "Shape of the first input, such as 1x224x224x3, of a .tflite that leaves it open.",
        read=parse_shape,
        write=shape_text,
    )


@dataclass(frozen=True)
class Reading(Checked):
    """What a file does not say of itself, or says wrongly."""

    input_range: InputRange | None = setting(
        None,
        "What a file takes the bytes 0 to 255 of a pixel as, where it does not say so itself: "
        "0..255, 0..1, -1..1, or imagenet (less its mean, by its standard deviation).",
    )
    input_shape: tuple[int, ...] | None = shape_setting()
    output_name: str | None = setting(
        None, "Which output of a .tflite answers, where there are several."
    )
    delegate: Literal["xnnpack", "none"] = setting(
        "xnnpack", "Who runs the operators of a .tflite; none is TFLite's built-in kernels."
    )
    labels: str | None = setting(
        None, "A text file with the name of a class on each line, instead of those that are known."
    )

    view: View | None = setting(None, VIEW)

    @property
    def on_xnnpack(self) -> bool:
        return self.delegate == "xnnpack"


AS_IT_SAYS = Reading()
"""Nobody knows better than the file."""
