"""Several runs side by side, those that differ in nothing but the seed as one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.tasks import CLASSIFY, TASKS, Metric
from mnv3_tf.training.run_folder import EpochRow, RunFolder, best_row, by_column, score_of


@dataclass(frozen=True)
class RunMetrics:
    """`choices` are what the user asked for: settings, and fields of the recipe by --override."""

    name: str
    seed: int
    choices: Mapping[str, Any]
    epochs: int
    rows: Sequence[EpochRow]

    @property
    def best(self) -> EpochRow | None:
        return best_row(self.rows)


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone; `differs` are settings that other groups do not share."""

    runs: tuple[RunMetrics, ...]
    differs: Mapping[str, Any]

    @property
    def name(self) -> str:
        letters = zip(*(run.name for run in self.runs), strict=False)
        shared = "".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, letters))
        return shared if len(self.runs) == 1 else shared.rstrip("-_. ") or self.runs[0].name

    def values(self, name: str) -> list[float]:
        """That of each run's best epoch, where there is one."""
        found = (by_column(run.best).get(name) for run in self.runs if run.best)
        return [value for value in found if value is not None]

    @property
    def scores(self) -> list[float]:
        """Of each run's best epoch, the figure by which it is the best."""
        return [value for task in TASKS.values() for value in self.values(task.score.column)]


def read_run(folder: str | Path) -> RunMetrics | None:
    """None where `folder` holds no run. Raises UserError where it cannot be read."""
    path = RunFolder(folder)
    recorded = path.recorded()
    if recorded is None:
        return None
    choices = dict(recorded["settings"])
    seed, override = choices.pop("seed"), choices.pop("override")
    choices |= dict(change.split("=", 1) for change in override)
    epochs = recorded["plan"]["epochs"]
    return RunMetrics(Path(folder).name, seed, choices, epochs, path.read_metrics())


def grouped(runs: Sequence[RunMetrics]) -> list[Group]:
    """Groups, the one of the highest mean accuracy first."""
    names = sorted({name for run in runs for name in run.choices})
    apart = [name for name in names if len({json.dumps(run.choices.get(name)) for run in runs}) > 1]
    by_choices: dict[str, list[RunMetrics]] = {}
    for run in runs:
        key = json.dumps([run.choices.get(name) for name in apart])
        by_choices.setdefault(key, []).append(run)
    groups = [
        Group(tuple(group), {name: group[0].choices.get(name) for name in apart})
        for group in by_choices.values()
    ]
    score_of_all(groups)
    return sorted(groups, key=lambda group: -mean(group.scores, -1.0))


def score_of_all(groups: Sequence[Group]) -> Metric:
    """The metric of all runs. Raises UserError for runs of several tasks."""
    found = {score_of(row) for group in groups for run in group.runs for row in run.rows}
    if len(found) > 1:
        listed = " and ".join(sorted(score.column for score in found))
        raise UserError(
            f"Runs of several tasks cannot be compared: they have {listed}; give those of one."
        )
    return found.pop() if found else CLASSIFY.score


def mean(values: Sequence[float], otherwise: float = float("nan")) -> float:
    return sum(values) / len(values) if values else otherwise
