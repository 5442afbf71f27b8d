"""Compares the strategies of a search where the best answer is known: on a space tried out whole.

The space is a part of that around MobileNetV3-Small, 16,384 architectures: kernel, squeeze-excite
and two expansions of each stage. Latencies come from a table; accuracy is a formula, made up
(see `accuracy`), because nobody could train them all. The figure is how many architectures a
strategy evaluates until it has 99 % of the best reward, each counted once.

    python -m benchmark latency_table --seeds=small --resolution=128 --out=small128.json
    python -m benchmark search_strategies --latency_table=small128.json --out=strategies

Writes search_strategies.json and search_strategies.png into --out.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.measuring.machine import Conditions
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Operator
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import LatencyTable
from mnv3_tf.search.rewards import Reward
from mnv3_tf.search.space import Architecture, Space
from mnv3_tf.search.strategies import STRATEGIES, Strategy, make
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import Checked, define, read, setting

SCHEMA_VERSION = 1
CHOICES: Mapping[str, Any] = {
    "operators": (1.0, 0.5),
    "skips": (True,),
    "filters": (1.0,),
    "layers": (0,),
}
"""What makes the space small enough."""
GOAL = 0.99
BUDGET = 0.1
"""Part of the space that a strategy may evaluate."""
BATCH = 8
MOST_ASKED = 3
"""Times the budget, after which a strategy that proposes what it knows has come to its end."""
TARGET, SLOPE = 0.8, -0.3
"""The reward's target, as a part of the median latency, and a slope that holds it."""
COLUMNS = ("strategy", "median", "worst", "runs", "against random", "in budget")


class StrategyRun(TypedDict):
    """A search: `reached` counts evaluations until GOAL, None where it was not reached.

    `improvements` are (evaluations, best reward so far).
    """

    evaluations: int
    reached: int | None
    best: float
    improvements: list[tuple[int, float]]


class SpaceConditions(Conditions):
    quantize: str
    target_us: float


class BestArchitecture(TypedDict):
    reward: float
    spec: object


class StrategyResults(TypedDict):
    """search_strategies.json; `within` is the part of the space with GOAL of the best reward."""

    schema_version: int
    conditions: SpaceConditions
    size: int
    budget: int
    best: BestArchitecture
    within: float
    strategies: dict[str, list[StrategyRun]]


@dataclass(frozen=True, kw_only=True)
class StrategySettings(Checked):
    """Raises UserError for what is missing or out of range."""

    latency_table: str = setting(MISSING, "Table of latencies, JSON.")
    quantize: Literal["none", "int8"] = setting("int8", "Precision.")
    resolution: int = setting(128, "Side of the input, in pixels.")
    runs: int = setting(5, "Runs of each strategy, from seed 0 on.", least=1)
    out: str = setting(MISSING, "Folder for the results.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.out or Path(self.out).is_file():
            raise UserError(f"--out={self.out or ''} is no folder; give --out=FOLDER.")
        if not self.latency_table:
            raise UserError(
                "Latencies come from a table; give --latency_table=FILE, made with python -m "
                f"benchmark latency_table --seeds=small --resolution={self.resolution}."
            )


def define_flags(values: flags.FlagValues) -> None:
    define(values, StrategySettings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    from benchmark.search_strategies_plot import plot_runs

    asked = read(args, StrategySettings)
    table = LatencyTable.read(asked.latency_table)
    space = Space(resolve("small", resolution=asked.resolution), **CHOICES)
    whole = evaluate_all(space, table, asked.quantize)
    cli.import_tensorflow(args)
    runs = {
        name: [run(make(name, space, seed), whole.rewards) for seed in range(asked.runs)]
        for name in STRATEGIES
    }
    results: StrategyResults = {
        "schema_version": SCHEMA_VERSION,
        "conditions": {**table.conditions, "quantize": asked.quantize, "target_us": whole.target},
        "size": space.size,
        "budget": math.ceil(BUDGET * space.size),
        "best": {
            "reward": whole.best,
            "spec": json.loads(space.decode(whole.best_architecture).to_json()),
        },
        "within": whole.within(GOAL),
        "strategies": {name: [_described(r, whole.best) for r in of] for name, of in runs.items()},
    }
    out = Path(asked.out) / "search_strategies.json"
    write_json(out, results)
    plot_runs(results, out.with_suffix(".png"))
    print(
        f"{space.size} architectures, {results['within']:.3%} of them within 1 % of the best "
        f"reward; each strategy may evaluate {results['budget']}."
    )
    tables.show(f"Evaluations until {GOAL:.0%} of the best reward", COLUMNS, lines(results))
    print(f"Written: {out} and {out.with_suffix('.png')}")
    if args.json:
        print(json.dumps(results))


# -- the whole space ---------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluatedSpace:
    """Every architecture of a space with its reward; `target` in microseconds."""

    rewards: Mapping[Architecture, float]
    target: float

    @property
    def best_architecture(self) -> Architecture:
        return max(self.rewards, key=self.rewards.__getitem__)

    @property
    def best(self) -> float:
        return max(self.rewards.values())

    def within(self, part: float) -> float:
        """The part of the space with at least that part of the best reward."""
        return float(np.mean(np.array(list(self.rewards.values())) >= part * self.best))


def evaluate_all(space: Space, table: LatencyTable, quantize: str) -> EvaluatedSpace:
    from rich.console import Console
    from rich.progress import track

    every = list(itertools.product(*(range(len(d.choices)) for d in space.decisions)))
    of_operators = _latency(table, quantize)
    of_seed = operators(space.start)
    of_operators(of_seed)  # a table that does not fit is refused before the bar begins
    seed_madds = sum(op.madds for op in of_seed)
    latencies, accuracies = [], []
    for architecture in track(every, "Space", console=Console(stderr=True), transient=True):
        spec = space.decode(architecture)
        listed = operators(spec)
        latencies.append(of_operators(listed))
        accuracies.append(accuracy(spec, sum(op.madds for op in listed) / seed_madds))
    reward = Reward("absolute", TARGET * float(np.median(latencies)), SLOPE)
    values = map(reward, accuracies, latencies)
    return EvaluatedSpace(dict(zip(every, values, strict=True)), reward.target)


def _latency(table: LatencyTable, quantize: str) -> Callable[[Sequence[Operator]], float]:
    """`table.network_us` of a network's operators, which looks each kind up but once."""
    known: dict[tuple[latency_model.Key, tuple[int, ...]], float] = {}
    weights = table.weights.get(quantize, latency_model.PRIOR)

    def us(op: Operator) -> float:
        at = latency_model.key_of(op), latency_model.channels_of(op)
        if at not in known:
            known[at] = table.operator_us(op, quantize)
        return known[at]

    return lambda listed: float(latency_model.features_of((op, us(op)) for op in listed) @ weights)


def accuracy(spec: NetworkSpec, size: float) -> float:
    """Made up, 0 to 1: a formula with what makes a search hard, not a forecast.

    It grows with the logarithm of `size`, multiply-adds as a part of the seed's. Squeeze-excite
    helps, most of all late, but as much as the network sees of the picture, for which larger
    kernels count at the stride where they are. All of it saturates.
    """
    seen = gated = depths = 0.0
    stride = spec.stem.stride
    for number, placed in enumerate(spec.placed_blocks(), 1):
        depth = (number / len(spec.blocks)) ** 2
        seen += sum(kernel - 1 for kernel in placed.block.kernels) * stride / spec.resolution
        gated += depth * (placed.squeeze_width > 0)
        depths += depth
        stride = placed.output_stride
    sight = 1 - math.exp(-seen / 4)
    return 0.8 * (1 - math.exp(-0.3 * math.log2(4 * size) - 2 * sight * gated / depths))


# -- a search ----------------------------------------------------------------------------------


def run(strategy: Strategy, rewards: Mapping[Architecture, float]) -> list[float]:
    """The reward of each architecture that was new, in the order of their evaluation."""
    budget, asked = math.ceil(BUDGET * len(rewards)), 0
    found: dict[Architecture, float] = {}
    while len(found) < budget and asked < MOST_ASKED * budget:
        evaluated = [(architecture, rewards[architecture]) for architecture in strategy.ask(BATCH)]
        strategy.tell(evaluated)
        found |= evaluated
        asked += BATCH
    return list(found.values())[:budget]


def _described(rewards: Sequence[float], best: float) -> StrategyRun:
    so_far = np.maximum.accumulate(rewards)
    steps = [n for n in range(len(so_far)) if n == 0 or so_far[n] > so_far[n - 1]]
    reached = [n + 1 for n in steps if so_far[n] >= GOAL * best]
    return {
        "evaluations": len(rewards),
        "reached": reached[0] if reached else None,
        "best": float(so_far[-1]),
        "improvements": [(n + 1, float(so_far[n])) for n in steps],
    }


def lines(results: StrategyResults) -> list[tuple[str, ...]]:
    """The last column is the best reward of the worst run, as a part of the space's."""
    typical = {name: _median(runs) for name, runs in results["strategies"].items()}
    return [
        (
            name,
            _count(typical[name]),
            _count(max(_reached(run) for run in runs)),
            f"{sum(run['reached'] is not None for run in runs)} of {len(runs)}",
            f"{typical['random'] / typical[name]:.1f} x" if typical["random"] < math.inf else "-",
            f"{min(run['best'] for run in runs) / results['best']['reward']:.2%}",
        )
        for name, runs in results["strategies"].items()
    ]


def _reached(run: StrategyRun) -> float:
    return math.inf if run["reached"] is None else run["reached"]


def _median(runs: Sequence[StrategyRun]) -> float:
    return float(np.median([_reached(run) for run in runs]))


def _count(evaluations: float) -> str:
    return "never" if evaluations == math.inf else f"{evaluations:.0f}"
