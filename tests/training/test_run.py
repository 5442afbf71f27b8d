"""Whole runs: their files, going on where one was stopped, and what stops one."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from making import colours, run_settings
from refusals import refused

from mnv3_tf.data.dataset import Split
from mnv3_tf.errors import Failure
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.training.classification import Classification, measure
from mnv3_tf.training.loop import Diverged
from mnv3_tf.training.plan import Plan
from mnv3_tf.training.progress import Progress
from mnv3_tf.training.run import train as train_with_all
from mnv3_tf.training.run_folder import RunFolder, best_row, score_of
from mnv3_tf.training.trained import load_run


def checkpoints(folder: RunFolder) -> set[int]:
    """Their numbers."""
    return {int(path.stem.split("-")[1]) for path in folder.checkpoints.glob("*.index")}


def weights_of(folder: RunFolder, checkpoint: int) -> dict[str, np.ndarray]:
    """Averages, optimisers and counters included, clocks left out."""
    reader = tf.train.load_checkpoint(str(folder.checkpoints / f"ckpt-{checkpoint}"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not any(clock in name for clock in ("seconds", "save_counter", "OBJECT_GRAPH"))
    }


def assert_alike(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for part in ("model/", "averaged/", "head_optimizer/", "all_optimizer/", "state/"):
        assert any(name.startswith(part) for name in wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


class TestFiles:
    def test_all_are_there_and_nothing_else(self, finished):
        assert {path.name for path in finished.path.iterdir()} == {
            "run.json",
            "spec.json",
            "metrics.jsonl",
            "checkpoints",
            "best.weights.h5",
            "tensorboard",
            "curves.png",
            "confusion.png",
            "mistakes.html",
            "summary.json",
        }

    def test_summary(self, finished):
        summary = json.loads(finished.summary.read_text())
        spec = NetworkSpec.from_json(finished.spec.read_text())
        assert spec == tiny.SHALLOW
        assert (summary["task"], summary["model"], summary["resolution"]) == (
            "classify",
            "shallow",
            32,
        )
        assert (summary["epochs"], summary["steps"], summary["num_classes"]) == (2, 12, 3)
        assert (summary["ended_by"], summary["val_images"]) == ("plan", 15)
        best = best_row(finished.read_metrics())
        assert summary["best_epoch"] == best["epoch"]
        for name in ("val_loss", "val_top1", "val_top5"):
            assert summary[name] == best[name]
        assert summary["val_top5"] == 1.0
        assert (summary["skipped"], summary["unreadable"]) == (0, 0)
        assert [row["images"] for row in summary["per_class"]] == [5, 5, 5]
        assert [row["name"] for row in summary["per_class"]] == ["blue", "green", "red"]
        recalls = [row["recall"] for row in summary["per_class"]]
        assert summary["val_balanced_accuracy"] == pytest.approx(np.mean(recalls))
        assert np.mean(recalls) == pytest.approx(summary["val_top1"])  # as many of each
        assert summary["images_per_s"] > 0
        assert summary["wall_s"] > 0
        assert 0 < summary["params"] < summary["madds"]

    def test_it_learns(self, finished):
        losses = [row["train_loss"] for row in finished.read_metrics()]
        assert losses[-1] < 0.95 * losses[0]

    def test_metrics_have_a_line_per_epoch(self, finished):
        rows = finished.read_metrics()
        assert [(row["epoch"], row["step"]) for row in rows] == [(1, 6), (2, 12)]
        wanted = {"train_loss", "val_loss", "val_top1", "images_per_s", "unreadable"}
        assert all(wanted <= row.keys() for row in rows)
        # The head's constant rate; then a rise over three steps, and half a cosine over three.
        falling = 0.025 * (1 + math.cos(math.pi * 2 / 3))
        assert [row["lr"] for row in rows] == pytest.approx([0.1, falling])

    def test_checkpoints_are_as_many_as_asked_for(self, finished):
        assert checkpoints(finished) == set(range(1, 7))

    def test_run_json_has_every_resolved_setting(self, finished):
        recorded = finished.recorded()
        assert recorded["dataset"]["class_names"] == ["blue", "green", "red"]
        assert recorded["dataset"]["train_images"] == 48
        assert recorded["dataset"]["val_images"] == 15
        assert recorded["recipe"]["epochs"] == 2
        assert recorded["recipe"]["optimizer"] == "sgd"
        assert recorded["recipe"]["label_smoothing"] == 0.05
        assert recorded["plan"] == {"steps_per_epoch": 6, "total_steps": 12, "epochs": 2}
        assert recorded["preprocessing"]["range"] == [-1.0, 1.0]
        assert recorded["preprocessing"]["resolution"] == 32
        assert (recorded["settings"]["view"], recorded["preprocessing"]["view"]) == (None, "crop")
        assert recorded["seed"] == 3
        assert recorded["versions"]["tensorflow"] == tf.__version__

    def test_best_weights_give_the_accuracy_that_the_summary_says(self, finished):
        from mnv3_tf.data.sources import open_dataset

        dataset = finished.recorded()["settings"]["dataset"]
        trained = load_run(finished.path)
        assert trained.spec == tiny.SHALLOW
        assert trained.class_names == ("blue", "green", "red")
        found = measure(
            trained.model, open_dataset(dataset, training=False).val.eval_batches(4, 32)
        )
        summary = json.loads(finished.summary.read_text())
        assert found.top1 == summary["val_top1"]
        assert found.loss == pytest.approx(summary["val_loss"], rel=1e-4)

    def test_tensorboard_has_the_scalars(self, finished):
        (events,) = finished.tensorboard.iterdir()
        found = [
            (value.tag, event.step, float(tf.make_ndarray(value.tensor)))
            for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value
        ]
        for row in finished.read_metrics():
            assert ("val_top1", row["step"], pytest.approx(row["val_top1"])) in found


def test_the_best_row():
    rows = [{"epoch": n, "val_miou": miou} for n, miou in enumerate((0.1, 0.3, 0.3, 0.2), 1)]
    assert best_row(rows)["epoch"] == 2
    assert score_of(rows[0]).column == "val_miou"
    assert best_row([]) is None


@pytest.mark.parametrize(
    ("scores", "losses", "best"),
    [
        # Without any score the last counts, and a row without one never wins.
        ((None, None, None), (1.0, 0.5, 0.7), 3),
        ((None, 0.0, None), (0.1, 0.5, 0.1), 2),
        # Among equal scores the lower loss; a loss that is none is the highest.
        ((0.9, 0.9, 0.8), (0.5, 0.4, 0.1), 2),
        ((0.9, 0.9, 0.9), (0.5, 0.4, 0.4), 2),
        ((0.9, 0.9, 0.9), (math.nan, 0.9, None), 2),
        ((0.9, 0.8, 0.9), (None, 0.1, None), 1),
    ],
)
def test_the_best_row_of_equal_scores_or_of_none(scores, losses, best):
    rows = [
        {"epoch": number, "val_top1": score, "val_loss": loss}
        for number, (score, loss) in enumerate(zip(scores, losses, strict=True), 1)
    ]
    assert best_row(rows)["epoch"] == best


def test_balanced_classes_also_where_a_run_goes_on(run, train, made, capsys):
    """Weights are those of the pictures that are trained on, whenever they are counted."""
    rows = [f"{made(colours)}/train/{name},{label},{part}\n" for name, label, part in UNEQUAL]
    (run.path.parent / "t.csv").write_text("filename,class_index,split\n" + "".join(rows))
    settings = {
        "dataset": f"csv:{run.path.parent}/t.csv",
        "class_weights": "balanced",
        "batch_size": 5,
        "override": ("optimizer=sgd",),
    }
    train(**settings, epochs=1)
    said = "Classes weigh 1 2.5 (2 pictures), 0 0.625 (8 pictures)."
    assert said in capsys.readouterr().out
    with refused("--class_weights='balanced', not 'none'"):
        train(**settings | {"class_weights": "none"}, epochs=1)
    run.summary.unlink()
    train(**settings, epochs=1)
    assert said in capsys.readouterr().out


UNEQUAL = [
    *((f"red/{number}.png", 0, "train") for number in range(8)),
    *((f"blue/{number}.png", 1, "train") for number in range(2)),
    *((f"blue/{number}.png", 1, "val") for number in range(2, 4)),
]


def test_a_run_of_an_older_version_goes_on(stopped, train):
    """Which knew nothing of later settings."""
    run = stopped(6)
    recorded = json.loads(run.run.read_text())
    for name in ("test", "patience", "time_limit", "class_weights"):
        del recorded["settings"][name]
    del recorded["place"]
    run.run.write_text(json.dumps(recorded))
    assert train()["steps"] == 12


class TestGoingOn:
    def test_interrupted_while_the_head_is_trained_alone(
        self, finished, stopped, train, monkeypatch, capsys
    ):
        """From step 3 on, and after step 6 again."""
        run, step = stopped(1), Progress.step

        def interrupt(self, epoch, number, loss, images):
            step(self, epoch, number, loss, images)
            if number == 6:
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train()
        said = capsys.readouterr().out
        assert "Going on after step 3 of 12." in said
        assert "Stopped after step 6 of 12; the same command goes on from there." in said
        assert checkpoints(run) == {1, 2}
        assert_alike(weights_of(run, 2), weights_of(finished, 2))

    def test_interrupted_before_an_epoch_was_judged(
        self, finished, stopped, train, monkeypatch, capsys
    ):
        """From step 9 on, with a row of an epoch that is trained again."""
        run = stopped(4)

        def interrupt(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("mnv3_tf.training.classification.accuracy", interrupt)
            with pytest.raises(KeyboardInterrupt):
                train()
        assert "Going on after step 9 of 12." in capsys.readouterr().out
        assert not run.summary.exists()
        assert run.read_metrics() == finished.read_metrics()[:1]
        summary = train()
        assert "Going on after step 12 of 12." in capsys.readouterr().out
        assert json.loads(run.summary.read_text()) == summary
        rows, others = run.read_metrics(), finished.read_metrics()
        assert [row["step"] for row in rows] == [row["step"] for row in others]
        for name in ("train_loss", "val_loss", "lr"):
            assert [r[name] for r in rows] == pytest.approx([r[name] for r in others], rel=1e-3)
        assert_alike(weights_of(run, 6), weights_of(finished, 6))

    @pytest.mark.parametrize("best", [1, 2])
    def test_what_was_not_yet_written_after_the_last_checkpoint(self, stopped, train, best):
        """The best weights, if they are those of that checkpoint; and left-overs are swept."""
        run = stopped(6)
        before = run.best_weights.stat().st_mtime_ns
        if best == 2:
            run.best_weights.unlink()
        rows = [row | {"val_top1": 0.1 * (row["epoch"] == best)} for row in run.read_metrics()]
        run.write_metrics(rows)
        (run.path / ".best.weights-abc.h5").touch()
        (run.checkpoints / "ckpt-9_temp").mkdir()
        assert train()["best_epoch"] == best
        assert (run.best_weights.stat().st_mtime_ns == before) == (best == 1)
        assert run.read_metrics() == rows
        assert not list(run.path.glob(".*"))
        assert not list(run.checkpoints.glob("*_temp"))

    def test_a_finished_run_is_left_alone(self, finished, made, capsys):
        before = {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")}
        summary = train_with_all(run_settings(made, finished.path))
        assert summary == json.loads(finished.summary.read_text())
        assert "is finished" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")} == before

    def test_another_configuration_is_refused_and_named(self, finished, made):
        for changes, named in (
            ({"epochs": 3}, "--epochs=2, not 3"),
            ({"seed": 4}, "--seed=3, not 4"),
        ):
            with refused(named, "--overwrite"):
                train_with_all(run_settings(made, finished.path, **changes))


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        ("imagenet_paper", {}),  # rmsprop, from weights
        ("distill", {"recipe": None}),  # adamw, with a teacher
    ],
)
def test_two_steps_of_other_optimisers_from_weights_and_with_a_teacher(
    finished, run, train, recipe, more
):
    given = {"weights": str(finished.best_weights)}
    if recipe == "distill":
        given = {"teacher": str(finished.path)}
    short = {"epochs": None, "steps": 2, "batch_size": 4, "learning_rate": None, "override": ()}
    summary = train(**{"recipe": recipe, **short, **given, **more})
    assert summary["steps"] == 2
    assert math.isfinite(summary["val_loss"])
    recorded = json.loads(run.run.read_text())
    assert recorded["settings"]["recipe"] == recipe
    if recipe == "imagenet_paper":
        # Two steps at 1e-4 of its rate hardly move what was learned, in its averages least.
        before = json.loads(finished.summary.read_text())
        assert summary["val_loss"] == pytest.approx(before["val_loss"], rel=0.02)


# -- pictures and numbers that are none --------------------------------------------------------


@pytest.fixture
def one_unreadable(monkeypatch):
    """A label of the first training batch says "not decoded"."""
    batches = Split.train_batches

    def spoilt(*arguments):
        def mark(images, labels):
            return images, tf.where(tf.range(8) < 1, -1, labels)

        stream = batches(*arguments)
        return stream.take(1).map(mark).concatenate(stream.skip(1))

    monkeypatch.setattr(Split, "train_batches", spoilt)


PLAIN = ["optimizer=sgd"]


def test_too_many_unreadable_pictures_stop_a_run(train, one_unreadable):
    with pytest.raises(Failure, match=r"1 of the 48 pictures of epoch 1 .* more than 1 %"):
        train(override=PLAIN)


def test_a_new_run_over_an_old_one(finished, run, train, one_unreadable, monkeypatch):
    """Of so many steps instead of epochs, with few unreadable pictures, of which it tells."""
    monkeypatch.setattr("mnv3_tf.training.loop.LARGEST_UNREADABLE_PART", 0.05)
    shutil.copytree(finished.path, run.path)
    summary = train(override=PLAIN, overwrite=True, steps=9, keep_checkpoints=1)
    rows = run.read_metrics()
    assert [(row["step"], row["unreadable"]) for row in rows] == [(6, 1), (9, 0)]
    assert (summary["steps"], summary["epochs"], summary["unreadable"]) == (9, 2, 0)
    assert checkpoints(run) == {2}
    assert len(list(run.tensorboard.iterdir())) == 1


class TestDiverged:
    """After step 9 of 12, where three steps are left."""

    def test_a_loss_that_is_no_number_names_the_step(self, stopped, train, monkeypatch):
        run, loss = stopped(4), Classification.loss

        def poisoned(self, images, labels, step, head_only):
            poison = tf.where(step == 10, math.nan, 0.0)
            return loss(self, images, labels, step, head_only) + poison

        monkeypatch.setattr(Classification, "loss", poisoned)
        said = r"The loss became nan in step 11 \(batch 5 of epoch 2\); .*--learning_rate"
        with pytest.raises(Diverged, match=said):
            train()
        assert checkpoints(run) == set(range(1, 5))

    def test_a_weight_that_is_no_number_is_never_saved(self, stopped, train, monkeypatch):
        run, average = stopped(4), Classification.average_statistics

        def poisoned(self, step):
            average(self, step)
            weight = self.evaluated.trainable_variables[0]
            weight.assign_add(tf.fill(weight.shape, tf.where(step == 9, math.nan, 0.0)))

        monkeypatch.setattr(Classification, "average_statistics", poisoned)
        said = r"A weight is no finite number in step 11 \(batch 5 of epoch 2\)"
        with pytest.raises(Diverged, match=said):
            train(checkpoint_every=11)
        assert checkpoints(run) == set(range(1, 5))


def test_plan_of_a_run_that_ends_within_an_epoch():
    plan = Plan(steps_per_epoch=4, total_steps=10)
    assert plan.epochs == math.ceil(10 / 4)
    assert [plan.epoch_of(step) for step in (0, 3, 4, 9)] == [1, 1, 2, 3]
    assert [plan.epochs_done(step) for step in (0, 3, 4, 9, 10)] == [0, 0, 1, 2, 3]
    assert [plan.steps_in(epoch) for epoch in (1, 2, 3)] == [4, 4, 2]
    assert [plan.ends_epoch(step) for step in (3, 4, 10)] == [False, True, True]


def test_a_copy_has_all_that_a_run_goes_on_from(finished, tmp_path):
    other = finished.copied_to(tmp_path)
    assert other.read_metrics() == finished.read_metrics()
    assert checkpoints(other) == checkpoints(finished)
    assert {path.name for path in Path(tmp_path).iterdir()} == {"metrics.jsonl", "checkpoints"}
