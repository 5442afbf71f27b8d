"""TF-slim checkpoints, as tensorflow/models released them."""

import re
from pathlib import Path

import numpy as np

from mnv3_tf.errors import UserError

AVERAGE = "/ExponentialMovingAverage"
_SCOPE = re.compile(r"(?P<scope>(?:[^/]+/)*MobilenetV\d/)Conv/weights")

_VARIABLES = (
    "weights",
    "depthwise_weights",
    "biases",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)


def checkpoint_prefix(path: Path) -> str | None:
    """What `tf.train.load_checkpoint` wants for a prefix, a file of it, its folder or a SavedModel.

    None if there is no checkpoint. Raises UserError for a folder with several and nothing that
    says which.
    """
    if (path / "saved_model.pb").is_file():
        return str(path / "variables" / "variables")
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        state = path / "checkpoint"
        if state.is_file():
            # The folder may have moved since: only the name counts.
            latest = re.search(r'^model_checkpoint_path: "(.+)"', state.read_text(), re.MULTILINE)
            if latest and (named := path / f"{Path(latest[1]).name}.index") in found:
                found = [named]
        if len(found) > 1:
            names = ", ".join(file.stem for file in found)
            raise UserError(f"{path} holds several checkpoints ({names}); give the path of one.")
        return str(found[0]).removesuffix(".index") if found else None
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", str(path))
    return prefix if Path(f"{prefix}.index").is_file() else None


def read_checkpoint(prefix: str) -> tuple[dict[str, np.ndarray], bool]:
    """The network's variables without their scope, and whether averages took their place.

    Optimizer slots and the step are left out. Where a variable has a moving average beside it
    (folders `pristine/`), the average is what was published and what is read; folders `ema/`
    hold averages under plain names.
    """
    import tensorflow as tf

    checkpoint = tf.train.load_checkpoint(prefix)
    stored = set(checkpoint.get_variable_to_shape_map())
    scopes = sorted(match["scope"] for name in stored if (match := _SCOPE.fullmatch(name)))
    if not scopes:
        return {}, False
    scope = scopes[0]
    arrays, averaged = {}, False
    for name in sorted(stored):
        if name.startswith(scope) and name.rpartition("/")[2] in _VARIABLES:
            source = name + AVERAGE if name + AVERAGE in stored else name
            averaged |= source != name
            short = name.removeprefix(scope).replace("/depthwise_weights", "/weights")
            arrays[short] = checkpoint.get_tensor(source)
    return arrays, averaged
