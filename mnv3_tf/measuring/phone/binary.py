"""The `benchmark_model` program: where it comes from, which of the two it is, and its flags.

Two programs bear this name: TFLite's, and the one of LiteRT 2.x. Their flags differ, and neither
refuses a flag that it does not know, so it is asked for its help first.
"""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.phone import failures
from mnv3_tf.measuring.phone.adb import FOLDER, PhoneError

NIGHTLY = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/"
    "nightly/latest"
)
ADDRESSES = {
    "arm64-v8a": f"{NIGHTLY}/android_aarch64_benchmark_model",
    "armeabi-v7a": f"{NIGHTLY}/android_arm_benchmark_model",
}
CACHE = Path("~/.cache/mnv3_tf/benchmark_model")
TIMEOUT_S = 60.0

TFLITE, LITERT = "tflite", "litert"
DELEGATES = {
    TFLITE: {
        "xnnpack": ("--use_xnnpack=true",),
        "none": ("--use_xnnpack=false",),
        "gpu": ("--use_gpu=true",),
        "nnapi": ("--use_nnapi=true",),
    },
    LITERT: {"xnnpack": ("--use_cpu=true",), "gpu": ("--use_gpu=true",)},
}
PROFILE = {TFLITE: ("--enable_op_profiling=true",), LITERT: ("--use_profiler=true",)}
MEMORY = ("--report_peak_memory_footprint=true",)


@dataclass(frozen=True)
class Binary:
    """A file on this computer; `source` is the address it came from, or its path."""

    path: Path
    sha256: str
    source: str

    @property
    def on_phone(self) -> str:
        return f"{FOLDER}/{self.sha256}/benchmark_model"


def sha256_of(path: Path) -> str:
    """Raises UserError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None


def local(path: str, pinned: str | None = None) -> Binary:
    """--benchmark_binary; raises UserError if it is absent or not the one that was pinned."""
    file = Path(path).expanduser()
    sha256 = sha256_of(file)
    _check_pin(str(file), sha256, pinned)
    return Binary(file, sha256, str(file))


def download(abi: str | None, pinned: str | None = None, cache: Path = CACHE) -> Binary:
    """TFLite's nightly build for the phone, kept in `cache`.

    What is published moves, so a file that is there is used again; its sha256 is in the results.
    Raises UserError for a phone that no build is made for and Failure where it cannot be had.
    """
    address = ADDRESSES.get(abi or "")
    if address is None:
        raise UserError(
            f"No benchmark_model is published for {abi or 'an unknown ABI'} "
            f"(only {', '.join(ADDRESSES)}); give --benchmark_binary=PATH."
        )
    file = cache.expanduser() / (abi or "") / "benchmark_model"
    if not file.is_file():
        fetch(address, file)
    sha256 = sha256_of(file)
    _check_pin(str(file), sha256, pinned)
    return Binary(file, sha256, address)


def fetch(address: str, file: Path) -> None:
    """Raises Failure where the address cannot be reached."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            content = answer.read()
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise Failure(
            f"Cannot download {address}: {reason}; download it elsewhere and give "
            "--benchmark_binary=PATH."
        ) from None
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)


def _check_pin(path: str, sha256: str, pinned: str | None) -> None:
    if pinned and sha256 != pinned.lower():
        raise UserError(
            f"{path} has the sha256 {sha256}, not the {pinned} of --benchmark_sha256; "
            "give the file that it belongs to."
        )


def tell_flavour(help_text: str) -> str:
    """Which program printed this help; raises PhoneError if it is neither, and says why."""
    if "--use_xnnpack" in help_text:
        return TFLITE
    if "--graph" in help_text and "--use_cpu" in help_text:
        return LITERT
    failure = failures.find(help_text)
    line = failure.line.strip() if failure else (help_text.strip().splitlines() or ["(nothing)"])[0]
    raise PhoneError(
        failure.kind if failure else "unknown",
        f"The benchmark binary does not run on this phone: {line}; give the "
        "benchmark_model built for it by --benchmark_binary.",
    )


def arguments(
    flavour: str, graph: str, threads: int, num_runs: int, delegate: str, extra: Sequence[str] = ()
) -> list[str]:
    """The flags of one run; raises UserError for a delegate that the program does not have."""
    chosen = DELEGATES[flavour].get(delegate)
    if chosen is None:
        names = ", ".join(DELEGATES[flavour])
        raise UserError(
            f"--delegate={delegate} is not in this benchmark binary (LiteRT's has {names}); "
            "give TFLite's by --benchmark_binary."
        )
    return [
        f"--graph={graph}",
        f"--num_threads={threads}",
        f"--num_runs={num_runs}",
        *chosen,
        *extra,
    ]


def layer(flavour: str, name: str, shape: str) -> tuple[str, str]:
    """Flags that give an input its shape; raises UserError for a program that has none such."""
    if flavour != TFLITE:
        raise UserError(
            f"--input_shape={shape.replace(',', 'x')} cannot be told to LiteRT's benchmark_model; "
            "give TFLite's by --benchmark_binary."
        )
    return f"--input_layer={name}", f"--input_layer_shape={shape}"
