"""Which kind of file it is, by its content, and its arrays."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.weights import folded, keras_files, names, slim, torch_files

BEST_WEIGHTS = "best.weights.h5"
"""Of a run folder, which run.json tells from others."""

KNOWN = (
    "Keras .h5, .weights.h5 or .keras, a folded .npz, .safetensors of timm or torchvision, or a "
    "TF-slim checkpoint"
)


@dataclass(frozen=True)
class Foreign:
    """Arrays under the names of their library, a key of `names.LIBRARIES`."""

    library: str
    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


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
    prefix = slim.checkpoint_prefix(path)
    if prefix is None and not path.exists():
        raise UserError(f"The weights file {path} does not exist.")
    if prefix is None and path.is_dir():
        raise UserError(
            f"{path} is a folder without a TF-slim checkpoint, and of no run; give a weights file."
        )
    notes: tuple[str, ...] = ()
    variant = None
    try:
        if prefix is not None:
            arrays, averaged = slim.read_checkpoint(prefix)
            if averaged:
                notes = ("the moving averages of the variables were read, not the raw ones",)
        else:
            match _kind(path):
                case "hdf5":
                    arrays = keras_files.read_h5(path)
                case "keras":
                    arrays = keras_files.read_keras(path)
                case "npz":
                    arrays = folded.read_npz(path)
                case "safetensors":
                    arrays, is_tf = torch_files.read_safetensors(path)
                    variant = names.TIMM_TF if is_tf else None
                case "pickle":
                    torch_files.refuse_pickle(path)
                case _:
                    raise UserError(f"{path} is no weights file that can be read: {KNOWN}.")
    except UserError:
        raise
    except Exception as error:
        # The readers' own errors have no common base, and all mean the same to the user.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is damaged or cut short ({reason}); get it again.") from error
    library = names.recognise(arrays)
    if library is None:
        examples = ", ".join(sorted(arrays)[:2]) or "nothing"
        raise UserError(
            f"{path} holds no MobileNet under names that are known (it holds {examples}); "
            f"what can be read is {KNOWN}."
        )
    if library == "timm" and variant:
        library = variant
    return Foreign(library, arrays, notes)


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
