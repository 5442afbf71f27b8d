"""Whole runs of a tiny network on coloured noise: files, resuming, bad input."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.errors import UserError
from mnv3_tf.spec import NetworkSpec
from mnv3_tf.training.loop import Diverged, Plan
from mnv3_tf.training.progress import Progress
from mnv3_tf.training.run import train
from mnv3_tf.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model, color_pictures):
    """One undisturbed run, to look at."""
    from mnv3_tf.training.settings import Settings

    out = tmp_path_factory.mktemp("finished") / "deep" / "run"
    settings = Settings(
        color_pictures, str(out), tiny_model, recipe="quick", epochs=4, batch_size=8, seed=3
    )
    return settings, train(settings)


def rows_of(out) -> list[dict]:
    return RunFolder(out).read_metrics()


def last_weights(out) -> dict[str, np.ndarray]:
    """The model's variables in the last checkpoint."""
    reader = tf.train.load_checkpoint(str(RunFolder(out).checkpoints))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/")]
    return {name: reader.get_tensor(name) for name in names}


class TestFiles:
    def test_all_are_there_and_nothing_else(self, finished):
        out = Path(finished[0].out)
        assert sorted(path.name for path in out.iterdir()) == sorted(
            [
                "run.json",
                "spec.json",
                "metrics.jsonl",
                "checkpoints",
                "best.weights.h5",
                "tensorboard",
                "curves.png",
                "summary.json",
            ]
        )

    def test_summary(self, finished):
        settings, summary = finished
        assert json.loads((Path(settings.out) / "summary.json").read_text()) == summary
        spec = NetworkSpec.from_json((Path(settings.out) / "spec.json").read_text())
        assert (spec.num_classes, spec.resolution) == (3, 32)
        assert (summary["task"], summary["model"]) == ("classify", "tiny")
        assert summary["val_top1"] == max(row["val_top1"] for row in rows_of(settings.out))
        assert summary["val_top5"] == 1.0
        assert summary["images_per_s"] > 0
        assert summary["wall_s"] > 0
        assert summary["params"] > 1000
        assert summary["madds"] > 1000

    def test_it_learns(self, finished):
        losses = [row["train_loss"] for row in rows_of(finished[0].out)]
        assert losses[-1] < 0.95 * losses[0]

    def test_metrics_have_a_line_per_epoch(self, finished):
        rows = rows_of(finished[0].out)
        assert [(row["epoch"], row["step"]) for row in rows] == [(1, 6), (2, 12), (3, 18), (4, 24)]
        wanted = {"train_loss", "val_loss", "val_top1", "lr", "images_per_s"}
        assert all(wanted <= row.keys() for row in rows)
        assert rows[0]["lr"] > rows[-1]["lr"] > 0

    def test_run_json_has_every_resolved_setting(self, finished):
        recorded = RunFolder(finished[0].out).recorded()
        assert recorded["dataset"]["class_names"] == ["blue", "green", "red"]
        assert recorded["dataset"]["train_images"] == 48
        assert recorded["dataset"]["val_images"] == 15
        assert recorded["recipe"]["epochs"] == 4
        assert recorded["recipe"]["label_smoothing"] >= 0
        assert recorded["plan"] == {"steps_per_epoch": 6, "total_steps": 24, "epochs": 4}
        assert recorded["preprocessing"]["range"] == [-1.0, 1.0]
        assert recorded["preprocessing"]["resolution"] == 32
        assert recorded["seed"] == 3
        assert recorded["versions"]["tensorflow"] == tf.__version__

    def test_best_weights_give_the_accuracy_that_the_summary_says(self, finished):
        from mnv3_tf.data import open_dataset
        from mnv3_tf.models import load_model
        from mnv3_tf.training.classification import measure

        settings, summary = finished
        folder = RunFolder(settings.out)
        spec = NetworkSpec.from_json(folder.spec.read_text())
        _, model = load_model(spec, str(folder.best_weights))
        found = measure(model, open_dataset(settings.dataset).val.eval_batches(4, 32))
        assert found.top1 == summary["val_top1"]
        assert found.loss == pytest.approx(summary["val_loss"], rel=1e-4)

    def test_tensorboard_has_the_scalars(self, finished):
        (events,) = (Path(finished[0].out) / "tensorboard").iterdir()
        found = [
            (value.tag, event.step, float(tf.make_ndarray(value.tensor)))
            for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value
        ]
        for row in rows_of(finished[0].out):
            assert ("val_top1", row["step"], pytest.approx(row["val_top1"])) in found

    def test_the_curves_are_a_picture(self, finished):
        from PIL import Image

        with Image.open(Path(finished[0].out) / "curves.png") as picture:
            assert picture.size[0] > 800


class TestGoingOn:
    def same_outcome(self, one, other):
        rows, others = rows_of(one), rows_of(other)
        assert [row["step"] for row in rows] == [row["step"] for row in others]
        for name in ("train_loss", "val_loss", "lr"):
            assert [r[name] for r in rows] == pytest.approx([r[name] for r in others], rel=1e-3)
        weights, other_weights = last_weights(one), last_weights(other)
        assert weights.keys() == other_weights.keys()
        for name, value in weights.items():
            np.testing.assert_allclose(value, other_weights[name], rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(
        ("recipe", "epochs", "stop_at", "error"),
        [
            ("quick", 2, 8, KeyboardInterrupt),  # saves a checkpoint at step 8
            ("finetune", 4, 22, RuntimeError),  # falls back to that of step 21; has dropout
            pytest.param("quick", 2, 11, RuntimeError, marks=pytest.mark.slow),
            # In the phase that trains the head alone.
            pytest.param("finetune", 4, 4, RuntimeError, marks=pytest.mark.slow),
        ],
    )
    def test_ends_as_an_undisturbed_run(
        self, settings, tmp_path, monkeypatch, recipe, epochs, stop_at, error
    ):
        how = {"recipe": recipe, "epochs": epochs, "checkpoint_every": 3, "learning_rate": 1e-3}
        train(settings(out=str(tmp_path / "undisturbed"), **how))

        disturbed = settings(**how)
        with monkeypatch.context() as patch:

            def stop(self, epoch, step, loss, images):
                if step == stop_at:
                    raise error

            patch.setattr(Progress, "step", stop)
            with pytest.raises(error):
                train(disturbed)
        assert not RunFolder(disturbed.out).summary.exists()
        # A line for an epoch that will be trained again.
        folder = RunFolder(disturbed.out)
        if rows := folder.read_metrics():
            folder.write_metrics([*rows, rows[-1] | {"epoch": rows[-1]["epoch"] + 1}])
        train(disturbed)
        self.same_outcome(disturbed.out, tmp_path / "undisturbed")

    def test_an_interrupt_before_the_evaluation_of_an_epoch(self, settings, tmp_path, monkeypatch):
        train(settings(out=str(tmp_path / "undisturbed")))
        with monkeypatch.context() as patch:

            def stop(*args):
                raise KeyboardInterrupt

            patch.setattr("mnv3_tf.training.classification.accuracy", stop)
            with pytest.raises(KeyboardInterrupt):
                train(settings())
        assert rows_of(settings().out) == []
        train(settings())
        self.same_outcome(settings().out, tmp_path / "undisturbed")

    def test_best_weights_lost_between_checkpoint_and_writing_are_written(
        self, settings, monkeypatch
    ):
        with monkeypatch.context() as patch:

            def stop(self, epoch):
                raise RuntimeError

            patch.setattr("mnv3_tf.training.loop.Trainer._write_weights_if_best", stop)
            with pytest.raises(RuntimeError):
                train(settings(epochs=1))
        folder = RunFolder(settings().out)
        assert not folder.best_weights.exists()
        train(settings(epochs=1))
        assert folder.best_weights.exists()

    def test_left_overs_of_killed_writers_are_swept(self, settings, monkeypatch):
        with monkeypatch.context() as patch:

            def stop(self, row):
                raise RuntimeError

            patch.setattr(Progress, "epoch", stop)
            with pytest.raises(RuntimeError):
                train(settings())
        folder = RunFolder(settings().out)
        (folder.path / ".best.weights-abc.h5").touch()
        (folder.checkpoints / "ckpt-9_temp").mkdir()
        train(settings())
        assert not list(folder.path.glob(".*"))
        assert not list(folder.checkpoints.glob("*_temp"))

    def test_a_finished_run_is_left_alone(self, finished, capsys):
        settings, summary = finished
        before = {p: p.stat().st_mtime_ns for p in Path(settings.out).rglob("*")}
        assert train(settings) == summary
        assert "is finished" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in Path(settings.out).rglob("*")} == before

    def test_overwrite_trains_anew(self, settings):
        train(settings(epochs=1))
        train(settings(epochs=2, overwrite=True))
        assert len(rows_of(settings().out)) == 2

    def test_another_configuration_is_refused_and_named(self, settings):
        train(settings(epochs=1))
        with pytest.raises(UserError, match=r"--epochs=1, not 2.*--overwrite"):
            train(settings(epochs=2))
        with pytest.raises(UserError, match=r"--seed=3, not 4"):
            train(settings(epochs=1, seed=4))

    def test_steps_override_epochs(self, settings):
        summary = train(settings(steps=9))
        assert [row["step"] for row in rows_of(settings().out)] == [6, 9]
        assert (summary["steps"], summary["epochs"]) == (9, 2)


class TestBadInput:
    def test_out_inside_a_file(self, settings, tmp_path):
        (tmp_path / "file").touch()
        # Told before anything else is looked at, the missing dataset included.
        with pytest.raises(UserError, match="Cannot write to --out="):
            train(settings(out=str(tmp_path / "file" / "run"), dataset="folder:/nowhere"))

    def test_out_without_permission(self, settings, closed_folder):
        with pytest.raises(UserError, match="Cannot write to --out="):
            train(settings(out=str(closed_folder / "run")))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"recipe": "slow"}, "Unknown recipe 'slow'; choose one of cityscapes, coco_ssdlite"),
            ({"model": "medium"}, "Unknown model 'medium'"),
            ({"model": "small", "width": 0.0}, "Width multiplier 0.0"),
            ({"model": "small", "width": -1.0}, "Width multiplier -1.0"),
            ({"resolution": 8}, "resolution is 8"),
            ({"dataset": "folder:/nowhere"}, "/nowhere"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"batch_size": 49}, "48 pictures, fewer than one batch of 49"),
            ({"learning_rate": -1.0}, "learning_rate=-1.0"),
            ({"weights": "/nowhere.npz"}, "/nowhere.npz"),
        ],
    )
    def test_nothing_is_left_behind(self, settings, changes, message):
        with pytest.raises(UserError, match=message):
            train(settings(**changes))
        assert not Path(settings().out).exists()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"task": "detect", "teacher": "runs/x"}, "teaches classifiers alone"),
            ({"task": "dance"}, "Unknown task 'dance'"),
            ({"strategy": "many"}, "Unknown --strategy=many; choose one of auto, one"),
            ({"steps": 0}, "--steps=0"),
            ({"checkpoint_every": -1}, "--checkpoint_every=-1"),
            ({"seed": -1}, "--seed=-1"),
        ],
    )
    def test_settings_that_cannot_be(self, settings, changes, message):
        with pytest.raises(UserError, match=message):
            settings(**changes)

    def test_a_folder_that_is_no_run_is_not_touched(self, settings, tmp_path):
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        with pytest.raises(UserError, match="is not the folder of a run"):
            train(settings(overwrite=True))
        assert (tmp_path / "run" / "checkpoints").exists()

    def test_a_broken_run_json(self, settings, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json").write_text("{")
        with pytest.raises(UserError, match="Cannot read"):
            train(settings())

    def test_a_loss_that_is_no_number_names_the_step(self, settings):
        with pytest.raises(
            Diverged, match=r"in step \d+ \(batch \d+ of epoch \d+\); .*--learning_rate"
        ):
            train(settings(recipe="finetune", learning_rate=1e30, epochs=9))
        kept = [np.asarray(value) for value in last_weights(settings().out).values()]
        assert kept
        assert all(np.isfinite(value).all() for value in kept)


def test_plan_of_a_run_that_ends_within_an_epoch():
    plan = Plan(steps_per_epoch=4, total_steps=10)
    assert plan.epochs == math.ceil(10 / 4)
    assert [plan.epoch_of(step) for step in (0, 3, 4, 9)] == [1, 1, 2, 3]
    assert [plan.epochs_done(step) for step in (0, 3, 4, 9, 10)] == [0, 0, 1, 2, 3]
    assert [plan.steps_in(epoch) for epoch in (1, 2, 3)] == [4, 4, 2]
    assert [plan.ends_epoch(step) for step in (3, 4, 10)] == [False, True, True]
