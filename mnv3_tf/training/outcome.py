"""What the best weights of a run give once it is over, also on pictures that chose nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnv3_tf.data.class_matching import Matching, match
from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.sources import open_dataset, place_of
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import Metric, Resolution
from mnv3_tf.training import by_class
from mnv3_tf.training.run_folder import EpochRow, RunFolder
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.training.trained import load_weights, reload

if TYPE_CHECKING:
    from mnv3_tf.training.loop import TrainingJob


@dataclass(frozen=True)
class FinalSet:
    """Pictures of `dataset` to evaluate on at the end, whose classes are matched to the run's."""

    dataset: Dataset
    split: Split
    matching: Matching


def open_test_set(own: Dataset, settings: TrainSettings, resolution: Resolution) -> FinalSet | None:
    """What --test names, or the test pictures of the run's `own` dataset; None without either.

    Raises UserError for a set that is trained on, or that has other classes.
    """
    name = settings.test
    if name is None or place_of(name) == place_of(settings.dataset):
        if own.test:
            return FinalSet(own, own.test, Matching())
        if name:
            raise UserError(
                f"--test={name} is what is trained on; give pictures that training does not see."
            )
        return None
    dataset = open_dataset(
        name,
        data_dir=settings.data_dir,
        seed=settings.seed,
        resolution=resolution,
        training=False,
        task=settings.task,
    ).seen_as(own.view)
    _, split = dataset.part(order=("test", "val", "train"))
    matching = match(dataset, own.class_names, own.num_classes, own.name)
    if matching.note:
        print(f"{matching.note}.", flush=True)
    return FinalSet(dataset, split, matching)


def final_figures(job: "TrainingJob", folder: RunFolder, best: EpochRow | None) -> dict[str, Any]:
    """What summary.json has of the best weights besides the columns of the best epoch's row.

    Of the validation pictures "per_class" and of classifiers "val_balanced_accuracy", of the test
    pictures the same with "test_" before it, `Metric.test_column` and "test_images". What
    classifiers answer class by class is printed, and for validation drawn in the folder.
    """
    spec, dataset, task = job.spec, job.dataset, job.learner.task
    figures: dict[str, Any] = {}
    val = FinalSet(dataset, dataset.val, Matching()) if dataset.val else None
    if val and task.per_class:
        scored = best.get("per_class", []) if best else []
        figures["per_class"] = _named(task.per_class, dataset, scored)
        val = None
    parts = {part: final for part, final in (("val", val), ("test", job.test)) if final}
    if not parts:
        return figures
    predict = task.keras_predictor(spec, _best_model(job, folder))
    for part, final in parts.items():
        batches = final.split.eval_batches(job.learner.recipe.batch_size, spec.resolution)
        with final.split.explained():
            found = task.measure(predict, final.matching.applied(batches), spec.num_classes)
        per_class = None
        if collected := found.pop("answers", None):
            answers = collected.named(dataset.class_names)
            per_class = answers.per_class()
            figures[f"{part}_balanced_accuracy"] = answers.balanced_accuracy
            by_class.show(answers, f"By class, {part} pictures, best epoch")
            if part == "val":
                title = f"{spec.name} on {dataset.name}, val"
                by_class.write(answers, title, final.split.paths, folder.confusion, folder.mistakes)
        elif task.per_class:
            per_class = _named(task.per_class, dataset, found["per_class"])
        figures["per_class" if part == "val" else "test_per_class"] = per_class
        if part == "test":
            figures |= {metric.test_column: found[metric.key] for metric in task.metrics}
            figures["test_images"] = found["images"]
    return figures


def _named(
    figure: Metric, dataset: Dataset, values: Sequence[float | None]
) -> list[dict[str, Any]]:
    named = zip(dataset.class_names, values, strict=False)
    return [{"name": name, figure.key: value} for name, value in named]


def _best_model(job: "TrainingJob", folder: RunFolder) -> Any:
    if job.strategy.num_replicas_in_sync == 1:
        reload(job.learner.evaluated, job.spec, str(folder.best_weights))
        return job.learner.evaluated
    # Several devices would have to read its statistics together, which one alone waits for.
    return load_weights(job.spec, str(folder.best_weights)).model
