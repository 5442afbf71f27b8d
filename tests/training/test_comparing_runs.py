"""Comparing runs: grouping by what differs, the table, the plot, the command."""

import json
import shutil

import pytest
from refusals import check_command, refused

from mnv3_tf.files import write_json
from mnv3_tf.training import compare, curves
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.training.run_groups import Group, grouped, read_run
from mnv3_tf.training.settings import TrainSettings
from mnv3_tf.ui import cli

SCORES = {"a-0": (0.5, 0.7), "a-1": (0.4, 0.3), "b-0": (0.6, 0.2)}
"""The val top-1 of each epoch, by run."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds, and one run with other settings, of two epochs each."""
    root = tmp_path_factory.mktemp("runs")
    for name, scores in SCORES.items():
        folder = RunFolder(root / name)
        folder.path.mkdir()
        override = ["ema_decay=0.5", "augmentation.erase=0.5"] if name == "b-0" else []
        settings = TrainSettings("shapes", str(root / name), seed=int(name[-1]), override=override)
        write_json(folder.run, {"settings": settings.configuration(), "plan": {"epochs": 2}})
        folder.write_metrics(
            [
                {"epoch": epoch, "val_top1": score, "images_per_s": 100.0}
                | dict.fromkeys(("val_loss", "train_loss"), 1 - score)
                for epoch, score in enumerate(scores, 1)
            ]
        )
    (root / "notes").mkdir()
    return root


def groups_of(runs) -> list[Group]:
    return grouped([read_run(runs / name) for name in SCORES])


def test_runs_that_differ_in_the_seed_alone_are_one_group(runs):
    first, second = groups_of(runs)
    assert [len(first.runs), len(second.runs)] == [1, 2]
    assert [run.seed for run in second.runs] == [0, 1]
    assert first.differs == {"ema_decay": "0.5", "augmentation.erase": "0.5"}
    assert second.differs == {"ema_decay": None, "augmentation.erase": None}
    assert [first.name, second.name] == ["b-0", "a"]
    assert second.values("val_top1") == second.scores == [0.7, 0.4]
    assert second.values("val_loss") == [pytest.approx(0.3), pytest.approx(0.6)]


def test_a_folder_without_a_run_is_none(runs):
    assert read_run(runs / "notes") is None


def test_the_command(runs, tmp_path, capsys):
    argv = ["compare", *map(str, sorted(runs.iterdir())), f"--out={tmp_path / 'c.png'}", "--json"]
    argv.append(f"--accuracies={tmp_path / 'a.png'}")
    status = cli.call(compare.main, compare.define_flags, argv, bare="runs")
    said = capsys.readouterr()
    assert status == 0, said.err
    alone, pair = json.loads(said.out.splitlines()[-1])["runs"]
    assert (alone["name"], alone["seeds"], alone["val_top1"]) == ("b-0", [0], [0.6])
    assert (pair["name"], pair["runs"], pair["seeds"]) == ("a", ["a-0", "a-1"], [0, 1])
    assert pair["val_top1"] == [0.7, 0.4]
    assert "b-0: augmentation.erase=0.5 ema_decay=0.5" in said.out
    table = [line.split() for line in said.out.splitlines()]
    assert any({"b-0", "0.6000", "0.400"} <= set(line) for line in table)
    assert any({"a", "0,1", "0.5500", "0.3000", "0.450"} <= set(line) for line in table)
    assert "2 of 2" in said.out

    from PIL import Image

    for name, width in (("c", 1000), ("a", 800)):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size[0] > width


def drawn(monkeypatch, draw, groups) -> list:
    """The axes of a figure, which is not written."""
    figures = []
    monkeypatch.setattr(curves.figures, "save", lambda figure, path: figures.append(figure))
    draw(groups, None)
    return figures[0].axes


def test_curves_are_of_each_groups_mean(runs, monkeypatch):
    score, val_loss, train_loss = drawn(monkeypatch, curves.draw_groups, groups_of(runs))
    assert [line.get_label() for line in score.lines] == ["b-0", "a (2 seeds)"]
    for axes, means in ((score, (45, 50)), (val_loss, (0.55, 0.5)), (train_loss, (0.55, 0.5))):
        assert axes.lines[1].get_xdata().tolist() == [1, 2]
        assert axes.lines[1].get_ydata() == pytest.approx(means)
        (band,) = axes.collections  # of the group of two
        heights = band.get_paths()[0].vertices[:, 1]
        spread = {"top": (30, 70), "loss": (0.3, 0.7)}["top" if axes is score else "loss"]
        assert (heights.min(), heights.max()) == pytest.approx(spread)


def test_accuracies_have_a_dot_for_each_run(runs, monkeypatch):
    (axes,) = drawn(monkeypatch, curves.draw_accuracies, groups_of(runs))
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[[60, 0]], [[70, 1], [40, 1]]]
    assert [text.get_text() for text in axes.texts] == ["60.0", "55.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b-0", "a"]
    assert axes.yaxis_inverted()


def test_runs_of_several_tasks_are_refused(runs, tmp_path):
    shutil.copytree(runs / "a-0", tmp_path / "other")
    RunFolder(tmp_path / "other").write_metrics([{"epoch": 1, "val_miou": 0.5}])
    with refused("several tasks", "val_miou and val_top1"):
        grouped([read_run(runs / "a-0"), read_run(tmp_path / "other")])


@pytest.mark.parametrize(
    ("argv", "named"), [([], "No run to compare"), (["--runs={}/notes"], "holds a run")]
)
def test_nothing_to_compare(runs, capsys, argv, named):
    check_command(compare, [word.format(runs) for word in argv], named, capsys, runs)
