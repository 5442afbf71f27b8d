"""State dicts of PyTorch, from .safetensors; a pickle is refused, for reading it runs it."""

import json
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from mnv3_tf.errors import UserError


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], bool]:
    """The tensors by their names, and whether they are of a tf_ network of timm.

    timm's `tf_mobilenetv3_*` pad as TensorFlow does and have another epsilon, but their tensors
    do not show it. What does is the architecture's name, which the hub keeps in a `config.json`
    beside the file and which a file's own metadata may hold under "architecture".
    """
    with safetensors.safe_open(path, "numpy") as file:
        architecture = (file.metadata() or {}).get("architecture", "")
    if not architecture:
        try:
            architecture = json.loads((path.parent / "config.json").read_text())["architecture"]
        except (OSError, ValueError, KeyError, TypeError):
            architecture = ""
    arrays = load_file(path)
    # A counter that inference has no use for.
    named = {k: v for k, v in arrays.items() if not k.endswith(".num_batches_tracked")}
    return named, str(architecture).startswith("tf_")


def refuse_pickle(path: Path) -> None:
    """Raises UserError with the command that converts the file."""
    target = str(path.with_suffix(".safetensors"))
    raise UserError(
        f"{path} is a PyTorch pickle, which can run code when it is read; convert it where PyTorch "
        'is installed, with python -c "import torch, safetensors.torch; '
        f'safetensors.torch.save_file(torch.load({str(path)!r}, weights_only=True), {target!r})", '
        "and pass the .safetensors file."
    )
