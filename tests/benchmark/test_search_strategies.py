"""The comparison of strategies, end to end on a space of 512 and a made-up table of latencies."""

import contextlib
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import search_strategies
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import Grid, LatencyTable
from mnv3_tf.search.space import Space
from mnv3_tf.search.strategies import STRATEGIES, RandomSearch
from mnv3_tf.ui import cli

CHOICES = {**search_strategies.CHOICES, "operators": (1.0,), "squeezes": (0.0,), "layers": (0, -1)}
SPACE = Space(resolve("small", resolution=32), **CHOICES)


def run(*flags: object) -> int:
    argv = ["benchmark", *map(str, flags)]
    return cli.call(search_strategies.main, search_strategies.define_flags, argv)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Of a computer on which an operator takes a microsecond and one for 1000 channels."""
    made = LatencyTable({"device": "made up", "threads": 1})
    plans = latency_model.plan_grids([SPACE.start, *SPACE.corners()], plane=2, line=2)
    made.grids["int8"] = {
        key: Grid(
            knots,
            np.reshape(
                [1 + sum(channels) / 1000 for channels in itertools.product(*knots)],
                [len(axis) for axis in knots],
            ),
        )
        for key, (_, knots) in plans.items()
    }
    file = tmp_path_factory.mktemp("table") / "table.json"
    file.write_text(made.to_json())
    return file


@pytest.fixture(scope="module")
def compared(table, tmp_path_factory) -> tuple[Path, str]:
    """The folder that was written, and what was printed."""
    folder, printed = tmp_path_factory.mktemp("compared"), io.StringIO()
    runs = []

    def make(name, space, seed):
        runs.append((name, seed))
        return RandomSearch(space, seed)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(search_strategies, "CHOICES", CHOICES)
        # Those that learn take long, and are tried elsewhere.
        patch.setattr(search_strategies, "make", make)
        patch.setattr(cli, "import_tensorflow", lambda args: None)
        flags = (f"--latency_table={table}", "--resolution=32", "--runs=2", f"--out={folder}")
        assert run(*flags, "--json") == 0
    assert runs == [(name, seed) for name in STRATEGIES for seed in range(2)]
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def judged(table):
    """All of the space."""
    return search_strategies.evaluate_all(SPACE, LatencyTable.read(table), "int8")


def test_the_whole_command_is_of_16384_architectures_and_a_tenth_of_them():
    space = Space(resolve("small", resolution=128), **search_strategies.CHOICES)
    assert space.size == 16_384
    told = (search_strategies.GOAL, search_strategies.BUDGET, search_strategies.BATCH)
    assert told == (0.99, 0.1, 8)
    assert (search_strategies.TARGET, search_strategies.SLOPE) == (0.8, -0.3)
    assert search_strategies.MOST_ASKED == 3


def test_every_strategy_is_run_and_told(compared):
    results = json.loads((compared[0] / "search_strategies.json").read_text())
    assert results["size"] == SPACE.size == 2**9
    assert results["budget"] == 52
    assert results["conditions"]["device"] == "made up"
    assert results["strategies"].keys() == STRATEGIES.keys()
    for runs in results["strategies"].values():
        assert len(runs) == 2
        for found in runs:
            assert found["evaluations"] <= 52
            counts, rewards = zip(*found["improvements"], strict=True)
            assert list(counts) == sorted(set(counts))
            assert list(rewards) == sorted(set(rewards))
            assert found["best"] == rewards[-1] <= results["best"]["reward"]
            goal = 0.99 * results["best"]["reward"]
            reached = [n for n, r in found["improvements"] if r >= goal]
            assert found["reached"] == (reached[0] if reached else None)


def test_the_best_is_that_of_the_whole_space(compared, judged):
    results = json.loads((compared[0] / "search_strategies.json").read_text())
    assert results["conditions"] == {
        "device": "made up",
        "threads": 1,
        "quantize": "int8",
        "target_us": judged.target,
    }
    assert len(judged.rewards) == SPACE.size
    assert results["best"]["reward"] == judged.best == judged.rewards[judged.best_architecture]
    best = NetworkSpec.from_json(json.dumps(results["best"]["spec"]))
    assert SPACE.encode(best) == judged.best_architecture
    above = [r for r in judged.rewards.values() if r >= 0.99 * judged.best]
    assert results["within"] == judged.within(0.99) == len(above) / SPACE.size


def test_latencies_are_the_tables(table):
    """On a part of the space: its target, and the reward of one architecture."""
    read = LatencyTable.read(table)
    part = Space(SPACE.start, **{**CHOICES, "layers": (0,)})
    judged = search_strategies.evaluate_all(part, read, "int8")
    specs = {a: part.decode(a) for a in judged.rewards}
    latencies = {a: read.network_us(spec, "int8") for a, spec in specs.items()}
    assert judged.target == pytest.approx(0.8 * np.median(list(latencies.values())))
    for one in list(judged.rewards)[::7]:
        size = cost(specs[one]).madds / cost(part.start).madds
        guessed = search_strategies.accuracy(specs[one], size)
        expected = guessed - 0.3 * abs(latencies[one] / judged.target - 1)
        assert judged.rewards[one] == pytest.approx(expected)


def test_a_part_of_the_best_is_reached_exactly():
    judged = search_strategies.EvaluatedSpace({(0,): 1.0, (1,): 0.99, (2,): 0.98, (3,): -1.0}, 9.0)
    assert (judged.best, judged.best_architecture) == (1.0, (0,))
    assert judged.within(0.99) == 0.5


def test_what_is_printed_fits_and_ends_in_json(compared):
    folder, printed = compared
    *lines, last = printed.splitlines()
    assert json.loads(last) == json.loads((folder / "search_strategies.json").read_text())
    # The paths, and the sentence on the space, are no part of the table.
    assert max(len(line) for line in lines[1:] if "Written" not in line) <= 80
    assert set(STRATEGIES) <= {line.split()[0] for line in lines if line.split()}
    assert (folder / "search_strategies.png").read_bytes().startswith(b"\x89PNG")


def test_an_architecture_counts_once(judged):
    class Stubborn(RandomSearch):
        def tell(self, judged):
            self.asked = getattr(self, "asked", 0) + len(judged)

    strategy = Stubborn(SPACE)
    found = search_strategies.run(strategy, judged.rewards)
    assert len(found) == len(set(Stubborn(SPACE).ask(8)))
    assert strategy.asked >= 3 * 52  # and then it was given up


def test_lines_of_runs_that_never_came_there():
    runs = {
        "random": [{"reached": None, "best": 0.9}, {"reached": None, "best": 0.8}],
        "ppo": [{"reached": 10, "best": 1.0}, {"reached": 30, "best": 0.995}],
    }
    lines = search_strategies.lines({"strategies": runs, "best": {"reward": 1.0}})
    assert lines == [
        ("random", "never", "never", "0 of 2", "-", "80.00%"),
        ("ppo", "20", "30", "2 of 2", "-", "99.50%"),
    ]


def test_lines_tell_how_much_faster_than_random():
    runs = {
        "random": [{"reached": 30, "best": 1.8}, {"reached": 40, "best": 2.0}],
        "ppo": [{"reached": 10, "best": 2.0}, {"reached": None, "best": 1.9}],
        "rl": [{"reached": 10, "best": 2.0}, {"reached": 15, "best": 1.99}],
    }
    lines = search_strategies.lines({"strategies": runs, "best": {"reward": 2.0}})
    assert lines == [
        ("random", "35", "40", "2 of 2", "1.0 x", "90.00%"),
        ("ppo", "never", "never", "1 of 2", "0.0 x", "95.00%"),
        ("rl", "12", "15", "2 of 2", "2.8 x", "99.50%"),
    ]


def test_a_run_ends_with_its_budget():
    """A tenth of the space, rounded up."""
    rewards = {(number,): float(number) for number in range(41)}

    class Counting:
        asked, told = 0, []

        def ask(self, count):
            self.asked += count
            return [(number % 41,) for number in range(self.asked - count, self.asked)]

        def tell(self, judged):
            self.told.extend(judged)

    strategy = Counting()
    assert search_strategies.run(strategy, rewards) == [0, 1, 2, 3, 4]
    assert strategy.asked == 8
    assert strategy.told == [((number,), float(number)) for number in range(8)]


@pytest.mark.parametrize("architecture", [(0,) * 9, (1,) * 9])
def test_the_made_up_accuracy_is_one(architecture):
    spec = SPACE.decode(architecture)
    small, large = (search_strategies.accuracy(spec, size) for size in (0.5, 1.0))
    assert 0 < small < large < 0.8
    with_gates = spec.with_block(len(spec.blocks) - 1, squeeze=0.25)
    assert search_strategies.accuracy(with_gates, 1.0) > large


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--out= is no folder; give --out=FOLDER."),
        (["--out=a"], "give --latency_table=FILE, made with python -m benchmark latency_table"),
        (["--out=a", "--latency_table=b.json"], "Cannot read b.json"),
        (["--out=a", "--latency_table={table}", "--resolution=64"], "fill it with python -m bench"),
        (["--out=a", "--latency_table={table}", "--quantize=none"], "in 'none'"),
    ],
)
def test_bad_input_leaves_with_2_and_one_sentence(
    flags, said, table, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(*(flag.format(table=table) for flag in flags)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
