"""Which kind of file it is, by its content, and its arrays."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.files import BEST_WEIGHTS
from mnv3_tf.weights import (
    folded,
    keras_config,
    keras_files,
    names,
    slim,
    tf2_checkpoints,
    torch_files,
)
from mnv3_tf.weights.keras_config import KerasModel
from mnv3_tf.weights.keras_files import KerasFile
from mnv3_tf.weights.names import Place
from mnv3_tf.weights.preprocessing import Moments, Preprocessing

KNOWN = (
    "Keras .h5, .weights.h5, .keras or a checkpoint, a folded .npz, .safetensors of timm or "
    "torchvision, or a TF-slim checkpoint"
)

_AVERAGED = re.compile(r"(^|[._/])(\w+_)?ema(_\w+)?[._/]")
"""A prefix of averaged weights: timm's "state_dict_ema.", "model_ema.module.", "ema/"."""

_SCALES = re.compile(r"(^|/)(rescaling|tf\.math\.(truediv|subtract|multiply))(_\d+)?$")
_NORMALIZATION = re.compile(r"(^|/)normalization(_\d+)?$")
"""Names of Keras layers."""


@dataclass(frozen=True)
class Contents:
    """The arrays of a file by the names that it gives them, and what it says beside them.

    `variant` is a key of `names.LIBRARIES` that other names do not show, `model` what a Keras
    model that was saved whole says of itself.
    """

    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    variant: str | None = None
    model: KerasModel | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


@dataclass(frozen=True)
class Foreign:
    """Arrays under the names of their library, a key of `names.LIBRARIES`.

    `beside` are those of the file that stand outside of the network, such as another head.
    """

    library: str
    arrays: dict[str, np.ndarray]
    beside: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    model: KerasModel | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def file_of(source: str | Path) -> Path:
    """The file of weights that is meant: of a run folder, its best ones.

    Raises UserError where a run has none yet.
    """
    path = Path(source)
    if not (path / "run.json").exists():
        return path
    if not (path / BEST_WEIGHTS).exists():
        raise UserError(f"{path} holds no {BEST_WEIGHTS} yet; train first, or give other weights.")
    return path / BEST_WEIGHTS


def read_foreign(path: Path) -> Foreign:
    """The arrays of a file.

    Raises UserError for a file that is absent, damaged, of no kind that we read, or that would
    have to be executed to be read.
    """
    contents = _read(path)
    for name, array in contents.arrays.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"{path} holds {name}, which is no array of numbers; get it again.")
    place, notes = _find_network(path, contents.arrays)
    found: dict[bool, dict[str, np.ndarray]] = {True: {}, False: {}}
    for name, array in contents.arrays.items():
        found[name.startswith(place.prefix)][name.removeprefix(place.prefix)] = array
    others = {other.prefix for other in names.find_networks(found[False])}
    beside = {k: v for k, v in found[False].items() if not k.startswith((*others,))}
    library = contents.variant if contents.variant and place.library == "timm" else place.library
    notes = (*contents.notes, *notes)
    said = contents.preprocessing
    return Foreign(library, found[True], beside, notes, contents.model, said)


def _read(path: Path) -> Contents:
    try:
        if prefix := slim.checkpoint_prefix(path):
            return _checkpoint(prefix)
        if not path.exists():
            raise UserError(f"The weights file {path} does not exist.")
        parts = torch_files.parts(path)
        if not parts:
            raise UserError(f"{path} is a folder without a checkpoint; give a weights file.")
        match _kind(parts[0]):
            case "hdf5" | "keras":
                return _keras(keras_files.read(path))
            case "npz":
                return Contents(folded.read_npz(path))
            case "safetensors":
                stored = torch_files.read_safetensors(parts)
                variant = names.TIMM_TF if stored.architecture.startswith("tf_") else None
                said = Preprocessing(stated=stored.factors)
                return Contents(stored.arrays, variant=variant, preprocessing=said)
            case "pickle":
                torch_files.refuse_pickle(path)
        raise UserError(f"{path} is no weights file that can be read: {KNOWN}.")
    except UserError:
        raise
    except Exception as error:
        # The readers' own errors have no common base, and all mean the same to the user.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is damaged or cut short ({reason}); get it again.") from error


def _checkpoint(prefix: str) -> Contents:
    arrays, averaged = slim.read_checkpoint(prefix)
    if averaged:
        return Contents(
            arrays, ("the moving averages of the variables were read, not the raw ones",)
        )
    if arrays:
        return Contents(arrays)
    stored = tf2_checkpoints.read(prefix)
    return _keras(KerasFile(stored, (), tf2_checkpoints.config(prefix)))


def _keras(file: KerasFile) -> Contents:
    model = keras_config.describe(file.config) if file.config else None
    arrays, moments = _normalizations(file.arrays)
    scaling = [_SCALES] if moments else [_SCALES, _NORMALIZATION]
    unknown = model is None and any(kind.search(name) for kind in scaling for name in file.layers)
    before = None if model is None else model.before
    said = Preprocessing(before, moments, unknown)
    return Contents(arrays, model=model, preprocessing=said)


def _normalizations(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Moments]:
    """The arrays without those of Normalization layers, and their means and variances."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, _, variable = name.rpartition("/")
        layers.setdefault(layer, {})[variable] = array
    kept, moments = dict(arrays), []
    for layer, variables in layers.items():
        found = [variables.get("mean"), variables.get("variance")]
        if _NORMALIZATION.search(layer) and "0" in variables:
            found = [variables["0"], variables.get("1")]
        if found[0] is not None and found[1] is not None:
            moments.append((found[0], found[1]))
            kept = {k: v for k, v in kept.items() if k.rpartition("/")[0] != layer}
    return kept, tuple(moments)


def _find_network(path: Path, arrays: dict[str, np.ndarray]) -> tuple[Place, tuple[str, ...]]:
    """Where the network is, and a note where another was left out.

    Raises UserError where there is none, or nothing says which of several is meant.
    """
    places = names.find_networks(arrays)
    averaged = [place for place in places if _AVERAGED.search(place.prefix)]
    found = names.outermost(averaged or places)
    if not found:
        examples = ", ".join(sorted(arrays)[:2]) or "nothing"
        raise UserError(
            f"{path} holds no MobileNet under names that are known (it holds {examples}); "
            f"what can be read is {KNOWN}."
        )
    if len(found) > 1:
        listed = " and ".join(sorted(repr(place.prefix) for place in found))
        raise UserError(
            f"{path} holds {len(found)} networks, with the names that begin {listed}; save the "
            "one that is meant."
        )
    if averaged and len(places) > len(averaged):
        return found[0], (f"the averaged weights were read, {found[0].prefix!r}, not the raw ones",)
    return found[0], ()


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        if "model.weights.h5" in members:
            return "keras"
        if members and all(name.endswith(".npy") for name in members):
            return "npz"
        return "pickle" if any(name.endswith("data.pkl") for name in members) else ""
    # A pickle of protocol 2 or later, which is what PyTorch wrote before 1.6.
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    return "safetensors" if len(head) == 9 and head[8:] == b"{" else ""
