"""State dicts of PyTorch, from .safetensors; a pickle is refused, for reading it runs it."""

import json
import pickletools
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import Factors, normalised

INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}
_CHECKPOINT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "net")


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and what timm's config.json says: {} where nothing does."""

    arrays: dict[str, np.ndarray]
    config: dict[str, Any]

    @property
    def architecture(self) -> str:
        return str(self.config.get("architecture", ""))

    @property
    def factors(self) -> Factors | None:
        """Of timm's `pretrained_cfg`: the mean and the standard deviation of three channels."""
        said = self.config.get("pretrained_cfg", self.config)
        try:
            mean, deviation = tuple(map(float, said["mean"])), tuple(map(float, said["std"]))
        except (KeyError, TypeError, ValueError):
            return None
        usable = len(mean) == len(deviation) == 3 and all(deviation)
        return normalised(mean, deviation) if usable else None


def parts(path: Path) -> list[Path]:
    """The files of which a state dict consists: those of an index, or of any of its shards.

    Of a folder it is its index, or model.safetensors; none where there is neither. Raises
    UserError for a part that is absent.
    """
    if path.is_dir():
        found = [*sorted(path.glob(f"*{INDEX}")), *sorted(path.glob("model.safetensors"))]
        return parts(found[0]) if found else []
    if path.name.endswith(INDEX):
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    elif match := _SHARD.fullmatch(path.name):
        count = int(match[2])
        names = [f"{match[1]}-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    else:
        return [path]
    for name in names:
        if not (path.parent / name).is_file():
            raise UserError(f"{path} is a part of weights of which {name} is absent; get it too.")
    return [path.parent / name for name in names]


def read_safetensors(files: Sequence[Path]) -> StateDict:
    """The tensors of all the files.

    timm's `tf_mobilenetv3_*` pad as TensorFlow does and have another epsilon, but their tensors
    do not show it. What does is the architecture's name, which the hub keeps in a `config.json`
    beside the file and which a file's own metadata may hold under "architecture".
    """
    arrays: dict[str, np.ndarray] = {}
    config: dict[str, Any] = {}
    for path in files:
        with safetensors.safe_open(path, "numpy") as file:
            config |= file.metadata() or {}
        arrays |= _tensors(path)
    try:
        beside = json.loads((files[0].parent / "config.json").read_text())
    except (OSError, ValueError):
        beside = {}
    # A counter that inference has no use for.
    named = {k: v for k, v in arrays.items() if not k.endswith(".num_batches_tracked")}
    return StateDict(named, (beside if isinstance(beside, dict) else {}) | config)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, stored in safetensors.deserialize(path.read_bytes()):
        if stored["dtype"] not in DTYPES:
            raise UserError(
                f"{path} holds {name} in {stored['dtype']}, which cannot be read; save it in F32."
            )
        values = np.frombuffer(stored["data"], DTYPES[stored["dtype"]])
        if stored["dtype"] == "BF16":  # the upper half of float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = values.reshape(stored["shape"])
    return arrays


def refuse_pickle(path: Path) -> None:
    """Raises UserError with the command that converts the file."""
    target = str(path.with_suffix(".safetensors"))
    key = next((key for key in _CHECKPOINT_KEYS if key in _strings(path)), None)
    inside = f"[{key!r}]" if key else ""
    raise UserError(
        f"{path} is a PyTorch pickle, which can run code when it is read; convert it where PyTorch "
        'is installed, with python -c "import torch, safetensors.torch; safetensors.torch.'
        f'save_file(torch.load({str(path)!r}, weights_only=True){inside}, {target!r})", '
        "and pass the .safetensors file."
    )


def _strings(path: Path) -> set[str]:
    """The texts in a pickle, without running it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                content = archive.read(name)
        else:
            content = path.read_bytes()
        return {arg for _, arg, _ in pickletools.genops(content) if isinstance(arg, str)}
    except (ValueError, OSError, StopIteration, zipfile.BadZipFile):
        return set()
