"""Comparing runs: grouping by what differs, the table, the plot, the command."""

import json

import pytest

from mnv3_tf import cli
from mnv3_tf.training import compare
from mnv3_tf.training.run import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_model, color_pictures):
    """Two seeds of quick, and one run with averaged weights."""
    from mnv3_tf.training.settings import Settings

    root = tmp_path_factory.mktemp("runs")

    def run(name, **more):
        base = {"dataset": color_pictures, "model": tiny_model, "recipe": "quick"}
        train(Settings(out=str(root / name), epochs=2, batch_size=8, **base, **more))

    run("a-0", seed=0)
    run("a-1", seed=1)
    run("b-0", seed=0, override=["ema_decay=0.5", "augmentation.erase=0.5"])
    (root / "notes").mkdir()
    return root


def test_runs_that_differ_in_the_seed_alone_are_one_group(runs):
    groups = compare.grouped([compare.read_run(runs / name) for name in ("a-0", "a-1", "b-0")])
    by_size = {len(group.runs): group for group in groups}
    assert [run.seed for run in by_size[2].runs] == [0, 1]
    assert by_size[1].differs == {"ema_decay": "0.5", "augmentation.erase": "0.5"}
    assert by_size[2].differs == {"ema_decay": None, "augmentation.erase": None}
    means = [sum(group.values("val_top1")) / len(group.runs) for group in groups]
    assert means == sorted(means, reverse=True)


def test_a_folder_without_a_run_is_none(runs):
    assert compare.read_run(runs / "notes") is None


def test_the_command(runs, tmp_path, capsys):
    argv = ["compare", *map(str, sorted(runs.iterdir())), f"--out={tmp_path / 'c.png'}", "--json"]
    argv.append(f"--accuracies={tmp_path / 'a.png'}")
    status = cli.call(compare.main, compare.define_flags, argv, bare="runs")
    said = capsys.readouterr()
    assert status == 0, said.err
    found = json.loads(said.out.splitlines()[-1])["runs"]
    assert sorted(len(group["seeds"]) for group in found) == [1, 2]
    (pair,) = [group for group in found if len(group["seeds"]) == 2]
    rows = [json.loads((runs / name / "summary.json").read_text()) for name in pair["runs"]]
    assert pair["name"] == "a"
    assert "b-0: augmentation.erase=0.5 ema_decay=0.5" in said.out
    assert pair["val_top1"] == [row["val_top1"] for row in rows]

    from PIL import Image

    with Image.open(tmp_path / "c.png") as picture:
        assert picture.size[0] > 1000
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 800


@pytest.mark.parametrize(
    ("argv", "says"), [([], "No run to compare"), (["{}/notes"], "holds a run")]
)
def test_nothing_to_compare(runs, capsys, argv, says):
    argv = ["compare", *(word.format(runs) for word in argv)]
    assert cli.call(compare.main, compare.define_flags, argv, bare="runs") == 2
    assert says in capsys.readouterr().err
