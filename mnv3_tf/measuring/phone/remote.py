"""Files on the phone: named by their content, and checked when they have arrived."""

from pathlib import Path

from mnv3_tf.errors import Failure
from mnv3_tf.measuring.phone.adb import PUSH_S, Adb
from mnv3_tf.measuring.phone.binary import Binary
from mnv3_tf.measuring.phone.models import Model

FOLDER = "/data/local/tmp/mnv3_tf"


def model_path(model: Model) -> str:
    """Another model can never be taken for it, and no name needs quoting."""
    return f"{FOLDER}/{model.sha256}.tflite"


def program_path(program: Binary) -> str:
    return f"{FOLDER}/{program.sha256}/benchmark_model"


def put(adb: Adb, file: Path, path: str, sha256: str, executable: bool = False) -> None:
    """Brings a file to the phone, unless this very content is there already.

    Raises Failure if it arrived damaged, and PhoneError if it did not arrive.
    """
    if _sum(adb, path) != sha256:
        part = f"{path}.part"
        adb.shell("mkdir", "-p", path.rpartition("/")[0])
        adb.push(file, part)
        arrived = _sum(adb, part)
        if arrived != sha256:
            raise Failure(
                f"{file} arrived on {adb.serial} with another content ({arrived or 'nothing'}); "
                "try another cable."
            )
        adb.shell("mv", part, path)
    if executable:
        adb.shell("chmod", "755", path)


def _sum(adb: Adb, path: str) -> str | None:
    ended = adb.shell("sha256sum", path, timeout_s=PUSH_S)
    return ended.stdout.split(maxsplit=1)[0] if ended.status == 0 else None
