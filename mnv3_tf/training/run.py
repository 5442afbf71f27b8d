"""From settings to a run folder."""

import dataclasses
import datetime
import platform
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any, cast

import tensorflow as tf
import tf_keras

import mnv3_tf
from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.sources import open_dataset, place_of
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.models.create import load_model, spec_for
from mnv3_tf.networks.cost import cost
from mnv3_tf.tasks import Spec, find_task, task_of
from mnv3_tf.tasks.specs import NamedNetwork
from mnv3_tf.training import curves, losses, strategies
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training.learner import Learner
from mnv3_tf.training.loop import Done, Trainer, TrainingJob
from mnv3_tf.training.outcome import final_figures, open_test_set
from mnv3_tf.training.plan import Plan
from mnv3_tf.training.recipe import Recipe
from mnv3_tf.training.run_folder import (
    Recorded,
    RunFolder,
    RunSummary,
    as_json,
    best_row,
    by_column,
)
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.training.trained import load_teacher


def train(settings: TrainSettings) -> RunSummary:
    """Trains, or goes on where the same settings stopped; returns what summary.json holds.

    A finished run is left as it is. Raises UserError for settings that cannot be, for data or
    weights that do not fit, and where `out` holds another run.
    """
    folder = RunFolder(settings.out)
    folder.check()
    recipe = resolve_recipe(settings)
    recorded = None if settings.overwrite else folder.recorded()
    if recorded:
        _require_same(folder, "settings", recorded, settings.configuration())
        if summary := folder.summarized():
            print(f"{folder.path} is finished; --overwrite trains anew.", flush=True)
            return summary
    job = _job(settings, recipe)
    record = _record(job)
    if recorded:
        for part in ("recipe", "plan", "dataset", "spec_hash"):
            _require_same(folder, part, recorded, record[part])
    with _made_ready(folder, job, record, anew=not recorded) as own:
        done = Trainer(job, own).fit()
        title = f"{job.spec.name} on {job.dataset.name}, recipe {settings.recipe_name}"
        curves.draw(list(done.rows), title, own.curves)
        best = best_row(done.rows)
        figures = final_figures(job, own, best) if strategies.is_chief(job.strategy) else {}
        summary = _summary(job, done, figures)
        own.finish(summary)
    return summary


def _job(settings: TrainSettings, recipe: Recipe) -> TrainingJob:
    # Before all else of TensorFlow: several workers find each other here.
    strategy = strategies.make(settings.strategy)
    asked = NamedNetwork(settings.model, settings.width, settings.resolution, task=settings.task)
    spec = spec_for(asked, settings.head, settings.weights)
    dataset = open_dataset(
        settings.dataset,
        data_dir=settings.data_dir,
        seed=settings.seed,
        resolution=spec.resolution,
        training=True,
        task=settings.task,
    ).seen_as(settings.view)
    split = _require_train(dataset)
    if settings.patience and dataset.val is None:
        raise UserError(
            f"--patience={settings.patience} needs epochs to be evaluated, but {dataset.name} has "
            "no validation set; add one, or leave it out."
        )
    if settings.time_limit and strategies.workers(strategy) > 1:
        raise UserError(
            f"--time_limit={settings.time_limit:g} goes by one machine's clock, but there are "
            f"{strategies.workers(strategy)} workers; give --steps instead."
        )
    if settings.held_out:
        split, _ = split.divided(settings.held_out, settings.seed)
    test = open_test_set(dataset, settings, spec.resolution)
    steps_per_epoch = split.steps_per_epoch(recipe.batch_size)
    plan = Plan(steps_per_epoch, settings.steps or recipe.epochs * steps_per_epoch)
    tf_keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    spec = task_of(spec).for_training(spec.replace(num_classes=dataset.num_classes), recipe)
    spec, learner = _learner(spec, recipe, settings, strategy)
    if settings.class_weights == "balanced":
        learner.class_weights = _balanced(split, dataset)
    return TrainingJob(spec, learner, plan, dataset, split, settings, strategy, test)


def _balanced(train: Split, dataset: Dataset) -> list[float]:
    counts = train.class_counts(dataset.num_classes)
    weights = losses.balanced_weights(counts)
    rows = sorted(zip(weights, dataset.class_names, counts, strict=True), reverse=True)
    shown = [f"{name} {weight:.3g} ({count} pictures)" for weight, name, count in rows]
    if len(shown) > 6:
        shown[3:-3] = ["..."]
    print(f"Classes weigh {', '.join(shown)}.", flush=True)
    return weights


def _learner(
    spec: Spec, recipe: Recipe, settings: TrainSettings, strategy: tf.distribute.Strategy
) -> tuple[Spec, Learner]:
    """The network with its first weights, and the spec as these need it."""
    with strategy.scope():
        # A run that goes on takes its weights from a checkpoint, but it may have none yet.
        with strategies.computing_in(settings.precision):
            spec, model = load_model(spec, settings.weights, input_range=settings.input_range)
        if settings.sync_batch_norm:
            model = strategies.with_synchronised_batch_norm(model)
        teacher = None
        if settings.teacher:
            teacher = load_teacher(settings.teacher, spec.num_classes, spec.resolution)
        return spec, task_of(spec).learner(spec, model, recipe, settings.seed, teacher)


@contextmanager
def _made_ready(
    folder: RunFolder, job: TrainingJob, record: Recorded, anew: bool
) -> Iterator[RunFolder]:
    """The folder to train in, from its start or on from where it was.

    The chief's is the run's own. The other workers take part in all that is computed; what they
    write is thrown away.
    """
    strategies.meet(job.strategy)  # so that all workers have seen the folder as it was
    if strategies.is_chief(job.strategy):
        if anew:
            folder.begin(record)
        else:
            folder.sweep()
        # Also on going on: a kill may have come between run.json and spec.json.
        with atomic_write(folder.spec) as temporary:
            temporary.write_text(job.spec.to_json())
        strategies.meet(job.strategy)
        yield folder
        return
    strategies.meet(job.strategy)
    with tempfile.TemporaryDirectory() as scratch:
        yield folder.copied_to(scratch)


def resolve_recipe(settings: TrainSettings) -> Recipe:
    """The named recipe with what the settings override."""
    recipe = recipes.load(settings.recipe_name)
    if recipe.targets != find_task(settings.task).targets:
        raise UserError(
            f"--recipe={settings.recipe_name} is for {recipe.targets}, not for "
            f"--task={settings.task}; leave one of them out."
        )
    given = {
        name: getattr(settings, name)
        for name in ("epochs", "batch_size", "learning_rate")
        if getattr(settings, name) is not None
    }
    return recipes.overridden(dataclasses.replace(recipe, **given), settings.override)


def _require_train(dataset: Dataset) -> Split:
    if dataset.train is None:
        raise UserError(f"{dataset.name} has no training set; add one, or use another --dataset.")
    return dataset.train


def _record(job: TrainingJob) -> Recorded:
    settings, plan, dataset, spec = job.settings, job.plan, job.dataset, job.spec
    tree = {
        "settings": settings.configuration(),
        "recipe": dataclasses.asdict(job.learner.recipe),
        "plan": dataclasses.asdict(plan) | {"epochs": plan.epochs},
        "dataset": {
            "name": dataset.name,
            "class_names": dataset.class_names,
            "num_classes": dataset.num_classes,
            "train_images": len(job.train),
            "val_images": 0 if dataset.val is None else len(dataset.val),
        },
        "preprocessing": {
            "color": "RGB",
            "range": [-1.0, 1.0],
            "resolution": spec.resolution,
            "view": dataset.view,
        },
        "notes": dataset.told,
        "seed": settings.seed,
        "spec_hash": spec.hash,
        "versions": {
            "mnv3_tf": mnv3_tf.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("tensorflow", "tf_keras", "numpy")},
        },
        "place": place_of(settings.dataset),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return cast(Recorded, as_json(tree))


_DEFAULTS = TrainSettings("", "").configuration()


def _require_same(folder: RunFolder, part: str, recorded: Mapping[str, Any], wanted: Any) -> None:
    """Raises UserError naming the first difference between the run in the folder and this one."""
    before = recorded.get(part)
    if part == "settings" and before is not None:
        before = _DEFAULTS | before  # of an older version, which had not all of them
    remedy = f"give the same, another --out, or --overwrite to replace the run in {folder.path}"
    if isinstance(before, dict) and isinstance(wanted, dict):
        for key, value in wanted.items():
            if before.get(key) != value:
                what = f"--{key}" if part == "settings" else f"{part} {key}"
                raise UserError(
                    f"{folder.path} was started with {what}={before.get(key)!r}, not {value!r}; "
                    f"{remedy}."
                )
    elif before != wanted:
        raise UserError(f"{folder.path} was started with another {part}; {remedy}.")


def _summary(job: TrainingJob, done: Done, figures: Mapping[str, Any]) -> RunSummary:
    """`figures` are those of the best weights, made once at the end."""
    spec, rows = job.spec, done.rows
    total, best = cost(spec), best_row(rows)
    assert best is not None
    tree = {
        "task": spec.task,
        "model": spec.name,
        "resolution": spec.resolution,
        "num_classes": spec.num_classes,
        "params": total.params,
        "madds": total.madds,
        "epochs": rows[-1]["epoch"],
        "steps": rows[-1]["step"],
        "ended_by": done.ended_by,
        "best_epoch": best["epoch"],
        **{name: by_column(best).get(name) for name in job.learner.task.val_columns},
        "val_images": len(job.dataset.val or ()),
        **figures,
        "images_per_s": round(statistics.median(row["images_per_s"] for row in rows), 1),
        "wall_s": round(done.wall_seconds, 1),
        "skipped": len(job.dataset.skipped),
        "unreadable": rows[-1]["unreadable"],
    }
    return cast(RunSummary, as_json(tree))
