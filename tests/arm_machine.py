"""The ARM machine, for tests that want the real one."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from needs import missing

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.measuring.arm import installation
from mnv3_tf.measuring.arm.cores import CORES
from mnv3_tf.measuring.arm.emulator import QEMU, Emulator

PROGRAM = """
import platform, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

assert platform.machine() == "aarch64"
words = iter(sys.argv[1:])
for model, given, answer in zip(words, words, words):
    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(given))
    interpreter.invoke()
    np.save(answer, interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


def emulator() -> Emulator:
    """Set up in the cache of who runs the tests; skips the test where it cannot be had."""
    if not shutil.which(QEMU):
        missing(f"needs {QEMU}, from Debian's qemu-user")
    try:
        return installation.set_up()
    except (Failure, UserError) as error:
        missing(f"needs the ARM machine: {error}")


def predict(given: Mapping[Path, np.ndarray], folder: Path) -> list[np.ndarray]:
    """What the LiteRT runtime answers on ARM, with XNNPACK, to one picture for each model."""
    answers = [folder / f"answer{number}.npy" for number in range(len(given))]
    words: list[Path] = []
    for (model, picture), answer in zip(given.items(), answers, strict=True):
        np.save(answer.with_stem(f"{answer.stem}_given"), picture)
        words += [model, answer.with_stem(f"{answer.stem}_given"), answer]
    done = emulator().run(CORES["cortex-a76"], "-c", PROGRAM, *words)
    assert done.returncode == 0, done.stderr
    assert "XNNPACK" in done.stderr
    return [np.load(answer) for answer in answers]
