"""Quantisation-aware training: kernels, biases and ranges learn to live with int8.

The network trains as it will be run, values rounded (Jacob et al. 2018, section 3), from
calibrated ranges and with BatchNorm folded; its teacher is the float network, so that any
photographs serve. A training that was stopped goes on from its last checkpoint.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.data.mixing import overlaid
from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.quantization.distillation import Distiller, Rates
from mnv3_tf.training.checkpoints import Checkpoints
from mnv3_tf.training.progress import Progress

RATES = Rates(bias=1e-4, kernel=1e-4, range=1e-3)
BATCH = 32
STEPS = 600
CHECKPOINT_EVERY = 100  # steps
MIXED = 0.5  # of the batches
MIXUP_ALPHA = 0.4

TrainingBatches = Callable[[int], Iterator[Any]]
"""From a step's number to the batches from that step on: pictures (N, H, W, 3) in [-1, 1]."""


def mixed(pictures: Any, step: int) -> Any:
    """Every other batch, overlaid with itself in reverse order (mixup, Zhang et al. 2018).

    The teacher labels whatever it is shown, and a few hundred photographs go further this way.
    A function of the step, as all that a step does.
    """
    rng = np.random.default_rng(step)
    if rng.random() < MIXED:
        share = np.float32(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
        return overlaid(pictures, share)
    return pictures


def train(
    distiller: Distiller,
    batches: TrainingBatches,
    steps: int,
    folder: Path | None = None,
    job: Mapping[str, Any] | None = None,
) -> None:
    """Trains a distiller that was made for `steps` steps to their end.

    With `folder`, checkpoints are kept there, and a training of the same `job` (anything that
    JSON can hold) goes on from them; those of another are discarded. The folder is left to the
    caller, who knows when its product is safe.

    Raises Failure where the divergence is not finite. On KeyboardInterrupt a checkpoint is
    saved.
    """
    checkpoints = None
    if folder is not None:
        _begin(folder, dict(job or {}))
        checkpoints = Checkpoints(folder, CHECKPOINT_EVERY, distiller=distiller)
        if checkpoints.restore():
            print(f"Going on after step {int(distiller.step_number)} of {steps}.", flush=True)
    step = int(distiller.step_number)
    stream = iter(batches(step))
    try:
        with Progress(1, steps, step) as progress:
            while step < steps:
                images = mixed(next(stream), step)
                divergence = float(distiller.step(images))
                if not math.isfinite(divergence):
                    raise Failure(
                        f"Quantisation-aware training diverged in step {step + 1}; "
                        "use --method=ptq."
                    )
                step += 1
                progress.step(1, step, divergence, len(images))
                if checkpoints and checkpoints.due(step):
                    checkpoints.save()
                if step == steps:
                    progress.line(f"step {step}/{steps}", f"divergence {divergence:.4f} nats")
    except KeyboardInterrupt:
        if checkpoints:
            checkpoints.save()
            print(f"Stopped after step {step} of {steps}; the same command goes on from there.")
        raise


def _begin(folder: Path, job: dict[str, Any]) -> None:
    """Empties the folder unless it holds checkpoints of the same job."""
    description = folder / "job.json"
    if folder.exists() and not description.is_file():
        raise UserError(f"{folder} exists and holds no job.json; move it, or choose another --out.")
    try:
        same = json.loads(description.read_text()) == job
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        with atomic_write(description) as temporary:
            temporary.write_text(json.dumps(job) + "\n")
