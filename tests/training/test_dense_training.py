"""Detection and segmentation as tasks of the loop: whole runs of a tiny network."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf import tasks
from mnv3_tf.cost import operators
from mnv3_tf.data import open_dataset
from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.tasks import resolve_spec
from mnv3_tf.trained import load_run, load_weights
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training.detection import Detection
from mnv3_tf.training.run import train
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.training.segmentation import Segmentation
from mnv3_tf.training.settings import Settings

SCORE = {"detect": "val_map", "segment": "val_miou"}


def settings_of(task: str, model: str, rectangles: dict[str, str], out: Path, **more) -> Settings:
    given = {"recipe": f"{task}_quick", "steps": 8, "batch_size": 4, "seed": 1, **more}
    size = 64 if task == "detect" else (64, 64)
    return Settings(rectangles[task], str(out), model, task=task, resolution=size, **given)


def made(task: str, model: str, **changes):
    """The task of a fresh network, three classes to segment and two to detect."""
    spec = resolve_spec(task, model, resolution=64, num_classes=2 if task == "detect" else 3)
    tf.keras.utils.set_random_seed(0)
    recipe = recipes.overridden(
        recipes.load(f"{task}_quick"), [f"{k}={v}" for k, v in changes.items()]
    )
    kind = Detection if task == "detect" else Segmentation
    return kind(spec, build(spec), recipe, 0)


def batch_of(task: str, rectangles: dict[str, str], size: int = 4):
    split = open_dataset(rectangles[task], resolution=64, training=True, task=task).train
    return next(iter(split.eval_batches(size, 64 if task == "detect" else (64, 64))))


@pytest.fixture(scope="module", params=["detect", "segment"])
def finished(request, tmp_path_factory, dense_model, rectangles):
    """Of each task a run from the command line: (task, folder, what it printed)."""
    import train as command
    from mnv3_tf import cli

    task, out = request.param, tmp_path_factory.mktemp("runs") / "run"
    arguments = [
        "train",
        f"--task={task}",
        f"--model={dense_model}",
        f"--resolution={'64' if task == 'detect' else '64x64'}",
        f"--dataset={rectangles[task]}",
        "--steps=8",
        "--batch_size=4",
        f"--out={out}",
        "--json",
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert cli.call(command.main, command.define_flags, arguments) == 0
    return task, RunFolder(out), printed.getvalue()


class TestFinishedRuns:
    def test_files_and_summary(self, finished):
        task, folder, printed = finished
        summary = json.loads(folder.summary.read_text())
        assert json.loads(printed.splitlines()[-1]) == summary
        assert {"detect": "val mAP", "segment": "val mIoU"}[task] in printed
        rows = folder.read_metrics()
        assert summary["task"] == task
        assert summary[SCORE[task]] == max(row[SCORE[task]] for row in rows)
        assert 0 <= summary[SCORE[task]] <= 1
        assert all(math.isfinite(row["train_loss"]) for row in rows)
        spec = tasks.from_json(folder.spec.read_text())
        assert (spec.task, spec.image_size) == (task, (64, 64))
        assert folder.curves.stat().st_size > 1000
        trained = load_run(folder.path)
        assert trained.spec == spec
        names = ("red", "green") if task == "detect" else ("ground", "red", "green")
        assert trained.class_names == names

    def test_the_weights_that_are_kept_are_those_that_were_measured(self, finished, rectangles):
        from mnv3_tf import cli, evaluate

        task, folder, _ = finished
        values = cli.flags.FlagValues()
        evaluate.define_flags(values)
        values(["evaluate", f"--model_file={folder.path}"])
        scorer = evaluate.load(values)
        split = open_dataset(rectangles[task], resolution=64, task=task).val
        found = scorer.measure(split.eval_batches(4, scorer.resolution))
        assert found["images"] == 4
        name, best = SCORE[task], json.loads(folder.summary.read_text())
        assert (found[name.removeprefix("val_")] or 0.0) == pytest.approx(best[name], abs=1e-6)

    def test_a_finished_run_is_left_as_it_is(self, finished, dense_model, rectangles):
        task, folder, _ = finished
        size = 64 if task == "detect" else (64, 64)
        same = Settings(
            rectangles[task],
            str(folder.path),
            dense_model,
            task=task,
            resolution=size,
            steps=8,
            batch_size=4,
        )
        before = folder.best_weights.stat().st_mtime_ns
        assert train(same) == json.loads(folder.summary.read_text())
        assert folder.best_weights.stat().st_mtime_ns == before

    def test_its_weights_start_another_but_for_a_head_of_other_classes(self, finished, capsys):
        from mnv3_tf.models import load_model

        _, folder, _ = finished
        weights = str(folder.best_weights)
        spec = load_run(folder.path).spec.replace(num_classes=7)
        _, model = load_model(spec, weights)
        assert "are of other classes, so fresh ones are used" in capsys.readouterr().err
        kept = load_run(folder.path).model
        for name in ("conv", "expanded_conv_3_project"):
            np.testing.assert_array_equal(
                model.get_layer(name).get_weights()[0], kept.get_layer(name).get_weights()[0]
            )
        with pytest.raises(UserError, match="does not hold the weights"):
            load_weights(spec, weights)


@pytest.mark.parametrize("task", ["detect", "segment"])
class TestRuns:
    @pytest.mark.slow
    def test_a_stopped_run_ends_as_one_that_was_not(self, task, dense_model, rectangles, tmp_path):
        whole = settings_of(task, dense_model, rectangles, tmp_path / "whole", deterministic=True)
        train(whole)
        halves = settings_of(task, dense_model, rectangles, tmp_path / "halves", deterministic=True)
        with pytest.MonkeyPatch.context() as patch:
            kind = Detection if task == "detect" else Segmentation
            real, calls = kind.score, []

            def stop_in_the_second_epoch(self, tallies):
                calls.append(1)
                if len(calls) == 2:
                    raise KeyboardInterrupt
                return real(self, tallies)

            patch.setattr(kind, "score", stop_in_the_second_epoch)
            with pytest.raises(KeyboardInterrupt):
                train(halves)
        train(halves)
        ends = [load_run(tmp_path / name).model.get_weights() for name in ("whole", "halves")]
        for expected, found in zip(*ends, strict=True):
            np.testing.assert_array_equal(expected, found)

    def test_bad_combinations_are_refused(self, task, dense_model, rectangles, tmp_path):
        out = tmp_path / "run"
        with pytest.raises(UserError, match=f"not of --task={task}"):
            train(settings_of(task, dense_model, rectangles, out, recipe="quick"))
        with pytest.raises(UserError, match="teaches classifiers alone"):
            settings_of(task, dense_model, rectangles, out, teacher="runs/x")
        with pytest.raises(UserError, match=f"dropout=0.2 in a recipe must be 0 to {task}"):
            train(settings_of(task, dense_model, rectangles, out, override=["dropout=0.2"]))
        assert not out.exists()


@pytest.mark.parametrize("task", ["detect", "segment"])
class TestTwoParts:
    def test_head_and_body_are_all_there_is(self, task, dense_model):
        found = made(task, dense_model)
        assert len(found.head) + len(found.body) == len(found.model.trainable_variables)
        head = {variable.name.split("/")[0] for variable in found.head}
        backbone = {op.name for op in operators(resolve_spec("classify", dense_model))}
        backbone -= {"logits"}  # a name that segmentation has too
        assert not {name.removesuffix("_bn") for name in head} & backbone

    @pytest.mark.parametrize(("batch_norm", "head_only"), [("frozen", False), ("train", True)])
    def test_only_the_head_s_statistics_follow(
        self, task, batch_norm, head_only, dense_model, rectangles
    ):
        found = made(task, dense_model, batch_norm=batch_norm, ema_decay=0)
        before = {v.name: v.numpy() for v in found.model.non_trainable_variables}
        found.loss(*batch_of(task, rectangles), tf.constant(0, tf.int64), head_only)
        moved = {
            v.name.split("/")[0]
            for v in found.model.non_trainable_variables
            if (v.numpy() != before[v.name]).any()
        }
        norms = {v.name.split("/")[0] for v in found.head if "gamma" in v.name}
        assert moved == norms != set()

    def test_in_two_parts_the_network_answers_as_in_one(self, task, dense_model, rectangles):
        found = made(task, dense_model)
        images = batch_of(task, rectangles)[0]
        whole = found.model(images, training=True)
        parts = found._answer(images, head_only=False)
        for one, two in zip(tf.nest.flatten(whole), tf.nest.flatten(parts), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_batch_without_boxes_has_finite_gradients(dense_model, rectangles):
    task = made("detect", dense_model)
    images, targets = batch_of("detect", rectangles)
    targets = {**targets, "classes": tf.fill(targets["classes"].shape, -1)}
    with tf.GradientTape() as tape:
        loss = task.loss(images, targets, tf.constant(0, tf.int64), False)
    gradients = tape.gradient(loss, task.model.trainable_variables)
    found = [g for g in gradients if g is not None]
    assert math.isfinite(float(loss))
    assert all(np.isfinite(np.asarray(g)).all() for g in found)


def test_the_loss_decides_what_makes_scores(dense_model, rectangles, tmp_path):
    settings = settings_of(
        "detect", dense_model, rectangles, tmp_path / "r", override=["detection_loss=hard_negative"]
    )
    train(settings)
    assert load_run(tmp_path / "r").spec.scores == "softmax"


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_blank_pictures_count_for_nothing(task, dense_model, rectangles):
    found = made(task, dense_model)
    images, targets = batch_of(task, rectangles)
    blanks = tf.nest.map_structure(
        lambda part, value: tf.fill(part.shape, tf.cast(value, part.dtype)), targets, found.blank
    )
    strategy = tf.distribute.get_strategy()
    tallies = [found.tally(images, targets), found.tally(images, blanks)]
    alone = found.score([found.gather(strategy, tallies[0])])
    both = found.score(found.gather(strategy, tally) for tally in tallies)
    assert both == alone
    assert alone.images == 4
