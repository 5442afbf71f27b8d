"""What the best weights of a run give on pictures that have chosen nothing, once it is over."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnv3_tf.data.class_matching import Matching, match
from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.sources import open_dataset, place_of
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import Resolution
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.training.trained import load_weights

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
        task=settings.task,
    )
    _, split = dataset.part(order=("test", "val", "train"))
    matching = match(dataset, own.class_names, own.num_classes, own.name)
    if matching.note:
        print(f"{matching.note}.", flush=True)
    return FinalSet(dataset, split, matching)


def final_figures(job: "TrainingJob", folder: RunFolder) -> dict[str, Any]:
    """What summary.json has of the test set, by `Metric.test_column`, and "test_images"."""
    if job.test is None:
        return {}
    spec, task = job.spec, job.learner.task
    model = load_weights(spec, str(folder.best_weights)).model
    batches = job.test.split.eval_batches(job.learner.recipe.batch_size, spec.resolution)
    with job.test.split.explained():
        measured = task.measure(
            task.keras_predictor(spec, model), job.test.matching.applied(batches), spec.num_classes
        )
    figures = {metric.test_column: measured[metric.key] for metric in task.metrics}
    return {**figures, "test_images": measured["images"]}
