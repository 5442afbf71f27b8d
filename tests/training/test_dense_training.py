"""Detection and segmentation as tasks of the loop: a whole run of each."""

import contextlib
import io
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny
from making import without_curves
from refusals import refused

from mnv3_tf import evaluation
from mnv3_tf.data.sources import open_dataset
from mnv3_tf.detection.losses import DetectionLoss, Truth
from mnv3_tf.models import build, load_model
from mnv3_tf.networks.cost import operators
from mnv3_tf.segmentation import segmentation_loss
from mnv3_tf.tasks import specs
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training.detection import Detection
from mnv3_tf.training.run import train
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.training.segmentation import Segmentation
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.training.trained import load_weights
from mnv3_tf.ui import cli
from mnv3_tf.weights import dense

SCORE = {"detect": "val_map", "segment": "val_miou"}
SIZE = {"detect": 64, "segment": (64, 64)}
SPEC = {
    "detect": tiny.DETECTOR.replace(num_classes=2),
    "segment": tiny.SEGMENTER.replace(width=64),
}
EVERY = pytest.mark.parametrize("task", ["detect", "segment"])


def settings_of(task, model, rectangles, out, **more) -> TrainSettings:
    given = {"recipe": f"{task}_quick", "steps": 4, "batch_size": 4, "seed": 1, **more}
    return TrainSettings(
        rectangles[task], str(out), model, task=task, resolution=SIZE[task], **given
    )


def call(task, dense_model, rectangles, out) -> tuple[int, str]:
    """The command's status and what it prints."""
    import train as command

    # Of detection, which has the most layers, what costs least.
    cheap = ("freeze_epochs=1", "ema_decay=0.0", "augmentation.ssd_crop=False")
    arguments = [
        "train",
        f"--task={task}",
        f"--model={dense_model}",
        f"--resolution={'64' if task == 'detect' else '64x64'}",
        f"--dataset={rectangles[task]}",
        "--steps=4",
        "--batch_size=4",
        "--seed=1",
        *(f"--override={change}" for change in cheap if task == "detect"),
        "--override=optimizer=sgd",
        f"--out={out}",
        "--json",
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), without_curves():
        status = cli.call(command.main, command.define_flags, arguments)
    return status, printed.getvalue()


def interrupt(made, folder, task, dense_model, dataset) -> None:
    """A run that was stopped before it was judged, and what it printed."""

    def interrupted(self, tallies):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Detection if task == "detect" else Segmentation, "score", interrupted)
        status, printed = call(task, dense_model, {task: dataset}, folder / "run")
    assert status == 130
    (folder / "printed").write_text(printed)


@pytest.fixture(scope="module", params=["detect", "segment"])
def interrupted(request, made, tmp_path_factory, dense_model, rectangles):
    """Of each task a run that was stopped before it was judged: (task, folder, what it printed)."""
    task, out = request.param, tmp_path_factory.mktemp("runs") / "run"
    stopped = made(interrupt, task, dense_model, rectangles[task])
    shutil.copytree(stopped / "run", out)
    return task, RunFolder(out), (stopped / "printed").read_text()


@pytest.fixture(scope="module")
def finished(interrupted, dense_model, rectangles):
    """The same once it has gone on, from the command line as well."""
    task, folder, _ = interrupted
    status, printed = call(task, dense_model, rectangles, folder.path)
    assert status == 0
    return task, folder, printed


def test_an_interrupted_run_keeps_what_it_did(interrupted):
    _, folder, printed = interrupted
    assert "Stopped after step 4 of 4" in printed
    assert folder.read_metrics() == []
    assert [path.stem for path in folder.checkpoints.glob("*.index")] == ["ckpt-1"]


class TestFinishedRuns:
    def test_files_and_summary(self, finished):
        task, folder, printed = finished
        summary = json.loads(folder.summary.read_text())
        assert json.loads(printed.splitlines()[-1]) == summary
        assert {"detect": "val mAP", "segment": "val mIoU"}[task] in printed
        rows = folder.read_metrics()
        assert [row["step"] for row in rows] == [4]
        assert "Going on after step 4 of 4." in printed
        assert summary["task"] == task
        assert summary[SCORE[task]] == max(row[SCORE[task]] for row in rows)
        assert 0 <= summary[SCORE[task]] <= 1
        key = {"detect": "map50", "segment": "iou"}[task]
        known = [row[key] for row in summary["per_class"] if row[key] is not None]
        wanted = {"detect": "val_map50", "segment": "val_miou"}[task]
        assert np.mean(known) == pytest.approx(summary[wanted])
        assert all(math.isfinite(row["train_loss"]) for row in rows)
        spec = specs.from_json(folder.spec.read_text())
        assert (spec.task, spec.image_size) == (task, (64, 64))
        recorded = folder.recorded()
        assert recorded["settings"]["recipe"] == f"{task}_quick"
        names = ("red", "green") if task == "detect" else ("ground", "red", "green")
        assert tuple(recorded["dataset"]["class_names"]) == names
        assert tuple(row["name"] for row in summary["per_class"]) == names

    def test_the_weights_that_are_kept_are_those_that_were_measured(self, finished, rectangles):
        task, folder, _ = finished
        scorer = evaluation.load(str(folder.path), NotImplemented, NotImplemented)
        split = open_dataset(rectangles[task], resolution=64, task=task, training=False).val
        batches = split.eval_batches(4, scorer.resolution)
        found = scorer.task.measure(scorer.predict, batches, scorer.num_classes)
        assert found["images"] == 4
        name, best = SCORE[task], json.loads(folder.summary.read_text())
        assert (found[name.removeprefix("val_")] or 0.0) == pytest.approx(best[name], abs=1e-6)

    def test_a_finished_run_is_left_as_it_is(self, finished, dense_model, rectangles):
        task, folder, printed = finished
        before = folder.best_weights.stat().st_mtime_ns
        status, again = call(task, dense_model, rectangles, folder.path)
        assert (status, again.splitlines()[-1]) == (0, printed.splitlines()[-1])
        assert folder.best_weights.stat().st_mtime_ns == before

    def test_its_weights_start_another_but_for_a_head_of_other_classes(
        self, finished, capsys, monkeypatch
    ):
        _, folder, _ = finished
        spec = specs.from_json(folder.spec.read_text()).replace(num_classes=7)
        _, model = load_model(spec, str(folder.best_weights))
        assert "are of other classes, so fresh ones are used" in capsys.readouterr().err
        kept = dense.read(str(folder.best_weights))
        for name in ("conv", "expanded_conv_3_project"):
            kernel = model.get_layer(name).get_weights()[0]
            np.testing.assert_array_equal(kernel, kept[name]["kernel"])
        monkeypatch.setattr(
            "mnv3_tf.training.trained.build", lambda spec: model
        )  # again takes seconds
        with refused("does not hold the weights"):
            load_weights(spec, str(folder.best_weights))


@EVERY
def test_bad_combinations_are_refused(task, dense_model, rectangles, tmp_path):
    out = tmp_path / "run"
    with refused("--recipe=quick", f"not for --task={task}"):
        train(settings_of(task, dense_model, rectangles, out, recipe="quick"))
    with refused(f"of no use to --task={task}"):
        settings_of(task, dense_model, rectangles, out, teacher="runs/x")
    with refused("dropout=0.2 in a recipe must be 0 where targets are"):
        train(settings_of(task, dense_model, rectangles, out, override=["dropout=0.2"]))
    assert not out.exists()


@pytest.mark.parametrize(("loss", "scores"), [("focal", "sigmoid"), ("hard_negative", "softmax")])
def test_the_loss_decides_what_makes_scores(
    loss, scores, dense_model, rectangles, tmp_path, monkeypatch
):
    """As is known before the first step."""

    class Begun(Exception):
        pass

    def begin(*arguments, **options):
        raise Begun

    monkeypatch.setattr("mnv3_tf.training.run.Trainer", begin)
    how = ["ema_decay=0.0", f"detection_loss={loss}"]
    with pytest.raises(Begun):
        train(settings_of("detect", dense_model, rectangles, tmp_path / "r", override=how))
    assert specs.from_json((tmp_path / "r" / "spec.json").read_text()).scores == scores


# -- the tasks ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def task_of():
    """(task, changes to its recipe) -> the task, of one network each."""
    models = {}

    def make(task: str, **changes):
        if task not in models:
            tf.keras.utils.set_random_seed(0)
            models[task] = build(SPEC[task])
        recipe = recipes.overridden(
            recipes.load(f"{task}_quick"),
            [f"{name}={value}" for name, value in ({"ema_decay": 0.0} | changes).items()],
        )
        kind = Detection if task == "detect" else Segmentation
        return kind(SPEC[task], models[task], recipe, 0)

    return make


@pytest.fixture(scope="module")
def batches(rectangles):
    """Pictures and targets of each task."""

    def read(task: str):
        split = open_dataset(rectangles[task], resolution=64, training=True, task=task).train
        return next(iter(split.eval_batches(4, SIZE[task])))

    return {task: read(task) for task in SPEC}


def loss_of(task, batch, head_only: bool = False) -> float:
    return float(task.loss(*batch, tf.constant(0, tf.int64), head_only))


@EVERY
class TestTwoParts:
    def test_head_and_body_are_all_there_is(self, task, task_of):
        found = task_of(task)
        assert len(found.head) + len(found.body) == len(found.model.trainable_variables)
        head = {variable.name.split("/")[0] for variable in found.head}
        backbone = {op.name for op in operators(tiny.BACKBONE)}
        backbone -= {"logits"}  # a name that segmentation has too
        assert not {name.removesuffix("_bn") for name in head} & backbone

    @pytest.mark.parametrize(
        ("batch_norm", "head_only", "all_follow"),
        [("frozen", False, False), ("train", True, False), ("train", False, True)],
    )
    def test_the_head_s_statistics_follow_and_the_body_s_where_it_is_trained(
        self, task, batch_norm, head_only, all_follow, task_of, batches
    ):
        found = task_of(task, batch_norm=batch_norm)
        before = {v.name: v.numpy() for v in found.model.non_trainable_variables}
        loss_of(found, batches[task], head_only)
        moved = {
            v.name.split("/")[0]
            for v in found.model.non_trainable_variables
            if (v.numpy() != before[v.name]).any()
        }
        variables = [*found.head, *(found.body if all_follow else ())]
        assert moved == {v.name.split("/")[0] for v in variables if "gamma" in v.name} != set()

    def test_in_two_parts_the_network_answers_as_in_one(self, task, task_of, batches):
        """The loss is that of the whole network's answer, with the recipe's numbers."""
        images, targets = batches[task]
        found = task_of(task)
        answer = found.model(images, training=True)
        if task == "segment":
            wanted = segmentation_loss(answer, targets)
        else:
            codes, logits = answer
            found = task_of(task, focal_alpha=0.6, focal_gamma=1.5)
            truth = Truth(*(targets[name] for name in ("boxes", "classes", "crowd")))
            anchors = tf.constant(SPEC[task].anchors())
            wanted = DetectionLoss("focal", 0.6, 1.5)(logits, codes, truth, anchors)
        assert loss_of(found, batches[task]) == pytest.approx(float(wanted), rel=1e-4)

    def test_l2_is_half_the_square_of_all_kernels(self, task, task_of, batches):
        plain, penalised = (loss_of(task_of(task, l2=l2), batches[task]) for l2 in (0.0, 0.1))
        variables = task_of(task).model.trainable_variables
        kernels = [v for v in variables if v.name.endswith("kernel:0")]
        wanted = 0.05 * sum(float(tf.reduce_sum(v**2)) for v in kernels)
        assert penalised - plain == pytest.approx(wanted, rel=1e-3)

    def test_blank_pictures_count_for_nothing(self, task, task_of, batches):
        found = task_of(task)
        images, targets = batches[task]
        blanks = tf.nest.map_structure(
            lambda part, value: tf.fill(part.shape, tf.cast(value, part.dtype)),
            targets,
            found.blank,
        )
        strategy = tf.distribute.get_strategy()
        tallies = [found.tally(images, targets), found.tally(images, blanks)]
        alone = found.score([found.gather(strategy, tallies[0])])
        both = found.score(found.gather(strategy, tally) for tally in tallies)
        assert both == alone
        assert alone.images == 4


def test_a_batch_without_boxes_has_finite_gradients(task_of, batches):
    task = task_of("detect")
    images, targets = batches["detect"]
    targets = {**targets, "classes": tf.fill(targets["classes"].shape, -1)}
    with tf.GradientTape() as tape:
        loss = task.loss(images, targets, tf.constant(0, tf.int64), False)
    gradients = tape.gradient(loss, task.model.trainable_variables)
    found = [g for g in gradients if g is not None]
    assert math.isfinite(float(loss))
    assert found
    assert all(np.isfinite(np.asarray(g)).all() for g in found)
