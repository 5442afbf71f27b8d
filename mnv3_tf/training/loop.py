"""The training loop: steps, epochs, checkpoints, the files that grow."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

import tensorflow as tf

from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.picture_files import LARGEST_UNREADABLE_PART
from mnv3_tf.data.streaming import Host
from mnv3_tf.errors import Failure, LostPicturesError
from mnv3_tf.files import atomic_write
from mnv3_tf.tasks import Spec
from mnv3_tf.training.checkpoints import Checkpoints, RunState
from mnv3_tf.training.learner import Learner
from mnv3_tf.training.optimizers import Phase, phases
from mnv3_tf.training.outcome import FinalSet
from mnv3_tf.training.plan import Plan
from mnv3_tf.training.progress import Progress, ScalarWriter
from mnv3_tf.training.run_folder import EpochRow, RunFolder, best_row
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.training.strategies import distributed, filled, has_gpu, workers
from mnv3_tf.training.time_limit import TimeLimit


class Diverged(Failure):
    """The loss, or a weight, is no number any more."""


@dataclass(frozen=True)
class TrainingJob:
    """What is trained on what: a network of `spec` on `train`, a part of `dataset`.

    Of `settings` the loop reads the seed, and what says where to compute and when to save; `test`
    it never sees.
    """

    spec: Spec
    learner: Learner
    plan: Plan
    dataset: Dataset
    train: Split
    settings: TrainSettings
    strategy: tf.distribute.Strategy
    test: FinalSet | None = None


@dataclass(frozen=True)
class Done:
    """A run that is over: the rows of metrics.jsonl, and the time that it took, stops left out.

    `ended_by` is "plan", "patience" or "time_limit".
    """

    rows: tuple[EpochRow, ...]
    wall_seconds: float
    ended_by: str


class Trainer:
    """Does a job from the folder's last checkpoint, or from the learner's weights, to its end.

    What a step does is a function of seed and step number (batch, dropout, rate), so a run that
    was stopped ends as one that was not.
    """

    def __init__(self, job: TrainingJob, folder: RunFolder) -> None:
        self.job, self.folder, self.state = job, folder, RunState()
        self.learner, self.plan, self._strategy = job.learner, job.plan, job.strategy
        learner, plan, settings = job.learner, job.plan, job.settings
        wanted = settings.jit_compile
        self._jit_compile = has_gpu() if wanted is None else wanted
        with self._strategy.scope():
            self._phases = phases(
                learner.recipe, learner.body, learner.head, plan.steps_per_epoch, plan.total_steps
            )
        tracked: dict[str, Any] = {
            f"{phase.name}_optimizer": phase.optimizer for phase in self._phases
        }
        self._limit = None
        if settings.time_limit:
            self._limit = tracked["time_limit"] = TimeLimit(
                60 * settings.time_limit,
                plan.total_steps,
                plan.steps_per_epoch,
                len(job.dataset.val or ()) / learner.recipe.batch_size,
            )
        if learner.evaluated is not learner.model:
            tracked["averaged"] = learner.evaluated
        # Several workers save together, so each has to do it after the same step.
        self._alone = workers(self._strategy) == 1
        self._checkpoints = Checkpoints(
            folder.checkpoints,
            settings.checkpoint_every,
            settings.keep_checkpoints,
            by_time=self._alone,
            model=learner.model,
            state=self.state,
            **tracked,
        )
        self._rows: list[EpochRow] = []
        self._ended_by = "plan"
        self._compiling: float | None = None
        self._steps = {phase.name: self._compile_step(phase) for phase in self._phases}
        self._tally = self._compile_tally()

    def fit(self) -> Done:
        """Trains to the end.

        On KeyboardInterrupt, and where pictures are lost, a checkpoint is saved, unless there are
        other workers.

        Raises:
          Diverged: the loss is not finite, or a weight when a checkpoint is due; those before
            have finite weights.
          LostPicturesError: a file of pictures cannot be read any more.
          Failure: a checkpoint cannot be written or read, or more than 1 % of an epoch's pictures
            cannot be decoded.
        """
        self._resume()
        state, step = self.state, int(self.state.step)
        batches = iter(self._batches(step))
        events = ScalarWriter(self.folder.tensorboard)
        clock = _Clock(state)
        try:
            with Progress(self.plan.epochs, self.plan.total_steps, step) as progress:
                while True:
                    if self.plan.epochs_done(step) > int(state.epochs):
                        row = self._finish_epoch()
                        events.write(row, step)
                        progress.epoch(row)
                        self._note_pause(clock.rested())
                    if step == self.plan.total_steps:
                        break
                    with self.job.train.explained():
                        images, targets = next(batches)
                    loss = self._step(step, images, targets)
                    step += 1
                    self._note_step(step, clock.trained(), progress)
                    progress.step(
                        self.plan.epoch_of(step - 1), step, loss, self.learner.recipe.batch_size
                    )
                    if self._checkpoints.due(step):
                        self._save()
        except LostPicturesError:
            if self._alone:
                self._save()
            raise
        except KeyboardInterrupt:
            if self._alone:
                self._save()
            print(
                f"Stopped after step {int(state.step)} of {self.plan.total_steps}; the same "
                f"command goes on from {'there' if self._alone else 'the last checkpoint'}.",
                flush=True,
            )
            raise
        return Done(tuple(self._rows), float(state.wall_seconds), self._ended_by)

    def _resume(self) -> None:
        if not self._checkpoints.restore():
            return
        step, epochs = int(self.state.step), int(self.state.epochs)
        # An epoch's row is written before its checkpoint, and again when it is trained again.
        self._rows = self.folder.read_metrics()[:epochs]
        self.folder.write_metrics(self._rows)
        if self._limit and int(self._limit.last_step) == step:
            self._end(step, "time_limit")
        # Not where the checkpoint is of an epoch that was trained but not yet evaluated.
        if self.plan.ends_epoch(step) and self.plan.epochs_done(step) == epochs:
            self._write_weights_if_best(epochs)
            self._end_without_patience(step)
        print(f"Going on after step {step} of {self.plan.total_steps}.", flush=True)

    def _batches(self, step: int) -> Any:
        """Training batches from `step` on, each replica's part of the pictures apart."""
        recipe = self.learner.recipe

        def of_host(host: Host) -> tf.data.Dataset:
            return self.job.train.train_batches(
                recipe.batch_size,
                self.job.spec.resolution,
                recipe.augmentation,
                self.job.settings.seed,
                step,
                host,
            )

        return distributed(self._strategy, of_host, recipe.batch_size)

    def _val_batches(self) -> Any:
        batch_size = self.learner.recipe.batch_size

        def of_host(host: Host) -> tf.data.Dataset:
            assert self.job.dataset.val is not None
            steps = math.ceil(len(self.job.dataset.val) / batch_size)
            size = batch_size // host.count
            part = self.job.dataset.val.eval_batches(size, self.job.spec.resolution, host=host)
            # Replicas want equal parts.
            if self._strategy.num_replicas_in_sync == 1:
                return part
            return filled(part, size, steps, self.learner.blank)

        return distributed(self._strategy, of_host, batch_size)

    def _phase(self, place: float) -> Phase:
        return next(phase for phase in self._phases if place < phase.end)

    def _step(self, step: int, images: Any, targets: Any) -> float:
        wall_seconds = float(self.state.wall_seconds)
        place = self._limit.advance(step, wall_seconds) if self._limit else step
        phase = self._phase(place)
        phase.optimizer.learning_rate = phase.learning_rate(place)
        loss = float(self._steps[phase.name](images, targets))
        if not math.isfinite(loss):
            self._diverged(f"The loss became {loss}", step)
        return loss

    def _note_step(self, step: int, seconds: float, progress: Progress) -> None:
        """Ends the plan after `step` steps where time is up; else says how many there will be."""
        if not self._limit:
            return
        self._limit.trained(seconds)
        wall_seconds = float(self.state.wall_seconds)
        evaluates = self.plan.ends_epoch(step)
        if self._limit.is_up(step, wall_seconds, evaluates):
            self._limit.last_step.assign(step)
            self._end(step, "time_limit")
        left = self._limit.steps_left(step, wall_seconds, evaluates)
        expected = step + round(min(left, self.plan.total_steps - step))
        progress.expect(expected, self.plan.steps_per_epoch)

    def _note_pause(self, seconds: float) -> None:
        """After an epoch's evaluation."""
        step = int(self.state.step)
        if self._limit:
            self._limit.evaluated(seconds - (self._compiling or 0.0))
            self._compiling = 0.0
            if self._limit.is_up(step, float(self.state.wall_seconds)):
                self._end(step, "time_limit")
        self._end_without_patience(step)

    def _end_without_patience(self, step: int) -> None:
        best = best_row(self._rows)
        patience = self.job.settings.patience
        if best and patience and self._rows[-1]["epoch"] - best["epoch"] >= patience:
            self._end(step, "patience")

    def _end(self, step: int, reason: str) -> None:
        """The plan ends after so many steps. What ends where it would have, ends by itself."""
        if step < self.plan.total_steps:
            self.plan = replace(self.plan, total_steps=step)
            self._ended_by = reason

    def _save(self) -> None:
        weights = [v for v in self.learner.evaluated.variables if v.dtype.is_floating]
        if not all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in weights):
            self._diverged("A weight is no finite number", int(self.state.step) - 1)
        self._checkpoints.save()

    def _diverged(self, what: str, step: int) -> NoReturn:
        batch = step % self.plan.steps_per_epoch + 1
        raise Diverged(
            f"{what} in step {step + 1} (batch {batch} of epoch {self.plan.epoch_of(step)}); "
            f"{self.folder.checkpoints} keeps the weights of before. Train again with a lower "
            "--learning_rate and --overwrite."
        )

    def _compile_step(self, phase: Phase) -> Any:
        """(images, targets) -> loss; it counts the step too, so that both are done or neither."""
        learner, state, strategy = self.learner, self.state, self._strategy
        replicas = strategy.num_replicas_in_sync

        def replica_step(images: Any, targets: Any, number: Any) -> Any:
            # The optimiser adds the gradients of all replicas.
            loss = phase.descend(
                lambda: learner.loss(images, targets, number, phase.name == "head") / replicas
            )
            learner.average_statistics(number)
            return tf.stack([loss, tf.cast(learner.unreadable(targets), loss.dtype)])

        if self._jit_compile:
            replica_step = tf.function(replica_step, jit_compile=True, autograph=False)

        @tf.function(autograph=False)
        def step(images: Any, targets: Any) -> Any:
            number = tf.identity(state.step)
            both = strategy.run(replica_step, (images, targets, number))
            both = strategy.reduce(tf.distribute.ReduceOp.SUM, both, axis=None)
            loss, unreadable = tf.unstack(both)
            learner.average_weights(number)
            state.loss_sum.assign_add(tf.cast(loss, tf.float64))
            state.unreadable.assign_add(tf.cast(unreadable, tf.int64))
            state.step.assign_add(1)
            return loss

        return step

    def _compile_tally(self) -> Any:
        """(images, targets) -> what `Learner.tally` gives, over all replicas."""
        learner, strategy = self.learner, self._strategy

        @tf.function(autograph=False)
        def tally(images: Any, targets: Any) -> Any:
            return learner.gather(strategy, strategy.run(learner.tally, (images, targets)))

        return tally

    def _tallies(self) -> Iterator[Any]:
        """Of the validation batches; the first of a process waits for its compilation."""
        for batch in self._val_batches():
            begun = time.monotonic()
            tally = self._tally(*batch)
            if self._compiling is None:
                self._compiling = time.monotonic() - begun
            yield tally

    def _finish_epoch(self) -> EpochRow:
        """Evaluates, and writes the row, a checkpoint, and the weights if they are the best."""
        state, batch_size = self.state, self.learner.recipe.batch_size
        epoch, step = int(state.epochs) + 1, int(state.step)
        steps = self.plan.steps_in(epoch)
        place = float(self._limit.position) if self._limit else step - 1
        measured, unreadable = dict.fromkeys(self.learner.task.val_columns), int(state.unreadable)
        if unreadable > LARGEST_UNREADABLE_PART * steps * batch_size:
            raise Failure(
                f"{unreadable} of the {steps * batch_size} pictures of epoch {epoch} could "
                "not be decoded, more than 1 %; make the dataset anew."
            )
        if self.job.dataset.val is not None:
            with self.job.dataset.val.explained():
                score = self.learner.score(self._tallies())
            measured |= score.metrics
            unreadable += len(self.job.dataset.val) - score.images
        row: EpochRow = {
            "epoch": epoch,
            "step": step,
            "train_loss": float(state.loss_sum) / steps,
            "lr": self._phase(place).learning_rate(place),
            "images_per_s": steps * batch_size / max(1e-9, float(state.seconds)),
            "unreadable": unreadable,
        }
        row = cast(EpochRow, {**row, **measured})
        self._rows = [*self._rows[: epoch - 1], row]
        self.folder.write_metrics(self._rows)
        state.finish_epoch()
        self._save()
        self._write_weights_if_best(epoch)
        return row

    def _write_weights_if_best(self, epoch: int) -> None:
        """Writes the weights if `epoch`, whose weights the model holds, is the best so far.

        It happens after the epoch's checkpoint, and again on resuming from that checkpoint:
        best.weights.h5 never holds weights that the run as resumed did not have.
        """
        best = best_row(self._rows)
        if best and best["epoch"] == epoch:
            with atomic_write(self.folder.best_weights) as temporary:
                self.learner.evaluated.save_weights(temporary)


class _Clock:
    """Adds the time since it was last asked to the state: of training, or of anything else."""

    def __init__(self, state: RunState) -> None:
        self._state, self._last = state, time.monotonic()

    def trained(self) -> float:
        passed = self.rested()
        self._state.seconds.assign_add(passed)
        return passed

    def rested(self) -> float:
        now = time.monotonic()
        passed, self._last = now - self._last, now
        self._state.wall_seconds.assign_add(passed)
        return passed
