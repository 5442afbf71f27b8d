"""From settings to a run folder."""

import contextlib
import dataclasses
import datetime
import platform
import statistics
import tempfile
from importlib import metadata
from typing import Any

import tensorflow as tf
import tf_keras

import mnv3_tf
from mnv3_tf.data import Dataset, Split, open_dataset
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.models import load_model
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.ssdlite import DetectorSpec
from mnv3_tf.tasks.specs import Spec, resolve_spec
from mnv3_tf.training import curves, strategies
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training import teacher as teachers
from mnv3_tf.training.classification import Classification
from mnv3_tf.training.detection import Detection
from mnv3_tf.training.loop import Plan, Trainer
from mnv3_tf.training.recipe import Recipe
from mnv3_tf.training.run_folder import (
    Row,
    RunFolder,
    as_json,
    best_row,
    read_json,
)
from mnv3_tf.training.segmentation import Segmentation
from mnv3_tf.training.settings import Settings
from mnv3_tf.training.task import Task

Summary = dict[str, Any]


def train(settings: Settings) -> Summary:
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
        if folder.summary.exists():
            print(f"{folder.path} is finished; --overwrite trains anew.", flush=True)
            return read_json(folder.summary)

    # Before all else of TensorFlow: several workers find each other here.
    strategy = strategies.make(settings.strategy)
    spec = resolve_spec(
        settings.task,
        settings.model,
        settings.width,
        settings.resolution,
        head=settings.head,
        pretrained=settings.weights is not None,
    )
    dataset = open_dataset(
        settings.dataset,
        data_dir=settings.data_dir,
        seed=settings.seed,
        resolution=spec.resolution,
        training=True,
        task=settings.task,
    )
    train_split = _require_train(dataset)
    if settings.held_out:
        train_split, _ = train_split.divided(settings.held_out, settings.seed)
    plan = _plan(settings, recipe, train_split)
    tf_keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    spec = spec.replace(num_classes=dataset.num_classes)
    if isinstance(spec, DetectorSpec):
        spec = spec.replace(scores="sigmoid" if recipe.detection_loss == "focal" else "softmax")
    with strategy.scope():
        # A run that goes on takes its weights from a checkpoint, but it may have none yet.
        with strategies.computing_in(settings.precision):
            spec, model = load_model(spec, settings.weights)
        if settings.sync_batch_norm:
            model = strategies.with_synchronised_batch_norm(model)
        teacher = _load_teacher(settings, spec)
        task = _task(spec, model, recipe, settings.seed, teacher)

    record = _record(settings, recipe, plan, dataset, train_split, spec)
    if recorded:
        for part in ("recipe", "plan", "dataset", "spec_hash"):
            _require_same(folder, part, recorded, record[part])
    with contextlib.ExitStack() as stack:
        strategies.meet(strategy)  # so that all workers have seen the folder as it was
        if strategies.is_chief(strategy):
            _begin(folder, record, spec, anew=not recorded)
        strategies.meet(strategy)
        if not strategies.is_chief(strategy):
            # The others take part in all that is computed; what they write is thrown away.
            scratch = stack.enter_context(tempfile.TemporaryDirectory())
            folder = folder.copied_to(scratch)
        trainer = Trainer(
            task,
            plan,
            train_split,
            dataset.val,
            folder,
            spec.resolution,
            settings.seed,
            checkpoint_every=settings.checkpoint_every,
            keep_checkpoints=settings.keep_checkpoints,
            jit_compile=(
                strategies.has_gpu() if settings.jit_compile is None else settings.jit_compile
            ),
            strategy=strategy,
        )
        rows, wall_seconds = trainer.fit()

        title = f"{spec.name} on {dataset.name}, recipe {record['settings']['recipe']}"
        curves.draw(rows, title, folder.curves)
        summary = _summary(task, spec, dataset, plan, rows, wall_seconds)
        write_json(folder.summary, summary)
    _say_skipped(dataset)
    return summary


def _task(
    spec: Spec,
    model: tf_keras.Model,
    recipe: Recipe,
    seed: int,
    teacher: teachers.Teacher | None,
) -> Task:
    match spec:
        case DetectorSpec():
            return Detection(spec, model, recipe, seed)
        case SegmenterSpec():
            return Segmentation(spec, model, recipe, seed)
        case NetworkSpec():
            return Classification(model, recipe, seed, teacher)


def _begin(folder: RunFolder, record: dict[str, Any], spec: Spec, anew: bool) -> None:
    """Makes the folder ready for training, from its start or on from where it was."""
    if anew:
        folder.begin(record)
    else:
        folder.sweep()
    # Also on going on: a kill may have come between run.json and spec.json.
    with atomic_write(folder.spec) as temporary:
        temporary.write_text(spec.to_json())


def resolve_recipe(settings: Settings) -> Recipe:
    """The named recipe with what the settings override."""
    recipe = recipes.load(settings.recipe_name)
    if recipe.task != settings.task:
        raise UserError(
            f"--recipe={settings.recipe_name} is of --task={recipe.task}, not of "
            f"--task={settings.task}; leave one of them out."
        )
    given = {
        name: getattr(settings, name)
        for name in ("epochs", "batch_size", "learning_rate")
        if getattr(settings, name) is not None
    }
    return recipes.overridden(dataclasses.replace(recipe, **given), settings.override)


def _load_teacher(settings: Settings, spec: Spec) -> teachers.Teacher | None:
    if settings.teacher is None:
        return None
    assert isinstance(spec, NetworkSpec)  # Settings refuses teachers of other tasks
    return teachers.load(settings.teacher, spec.num_classes, spec.resolution)


def _require_train(dataset: Dataset) -> Split:
    if dataset.train is None:
        raise UserError(f"{dataset.name} has no training set; add one, or use another --dataset.")
    return dataset.train


def _plan(settings: Settings, recipe: Recipe, split: Split) -> Plan:
    steps_per_epoch = split.steps_per_epoch(recipe.batch_size)
    return Plan(steps_per_epoch, settings.steps or recipe.epochs * steps_per_epoch)


def _record(
    settings: Settings, recipe: Recipe, plan: Plan, dataset: Dataset, train_split: Split, spec: Spec
) -> dict[str, Any]:
    """What run.json holds: every resolved setting, and what an export needs to know."""
    tree = {
        "settings": settings.configuration(),
        "recipe": dataclasses.asdict(recipe),
        "plan": dataclasses.asdict(plan) | {"epochs": plan.epochs},
        "dataset": {
            "name": dataset.name,
            "class_names": dataset.class_names,
            "num_classes": dataset.num_classes,
            "train_images": len(train_split),
            "val_images": 0 if dataset.val is None else len(dataset.val),
        },
        "preprocessing": {
            "color": "RGB",
            "range": [-1.0, 1.0],
            "resolution": spec.resolution,
            "resize": getattr(dataset.val, "resize", None),
        },
        "seed": settings.seed,
        "spec_hash": spec.hash,
        "versions": {
            "mnv3_tf": mnv3_tf.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("tensorflow", "tf_keras", "numpy")},
        },
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return as_json(tree)


def _require_same(folder: RunFolder, part: str, recorded: dict[str, Any], wanted: Any) -> None:
    """Raises UserError naming the first difference between the run in the folder and this one."""
    before = recorded.get(part)
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


def _summary(
    task: Task,
    spec: Spec,
    dataset: Dataset,
    plan: Plan,
    rows: list[Row],
    wall_seconds: float,
) -> Summary:
    total, best = cost(spec), best_row(rows)
    assert best is not None
    tree = {
        "task": spec.task,
        "model": spec.name,
        "resolution": spec.resolution,
        "num_classes": spec.num_classes,
        "params": total.params,
        "madds": total.madds,
        "epochs": plan.epochs,
        "steps": plan.total_steps,
        "best_epoch": best["epoch"],
        **{name: best[name] for name in task.metrics},
        "images_per_s": round(statistics.median(row["images_per_s"] for row in rows), 1),
        "wall_s": round(wall_seconds, 1),
        "skipped": len(dataset.skipped),
        "unreadable": rows[-1]["unreadable"],
    }
    return as_json(tree)


def _say_skipped(dataset: Dataset) -> None:
    for note in dataset.notes:
        print(f"{note}.", flush=True)
    if dataset.skipped:
        print(
            f"{len(dataset.skipped)} pictures could not be decoded and were left out: "
            + ", ".join(dataset.skipped),
            flush=True,
        )
