"""Several runs side by side: a table and a plot of their curves.

    python -m mnv3_tf.training.compare runs/* --out=curves.png --accuracies=accuracies.png

The best run comes first; below the table stand the settings in which the runs are not alike. Runs
that differ in nothing but the seed are one line, with their mean and how far the lowest and the
highest lie apart, and one curve with a band; their name is what their names begin with. Folders
without a run are passed over.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.training.run_folder import SCORES, Row, RunFolder, best_row, score_of
from mnv3_tf.ui import cli, figures, tables


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string(
        "runs", [], "Folders that train.py wrote; need no flag.", flag_values=values
    )
    flags.DEFINE_string("out", None, "A PNG of the curves.", flag_values=values)
    flags.DEFINE_string(
        "accuracies", None, "A PNG of the best accuracies, a dot for each run.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if not args.runs:
        raise UserError("No run to compare; give folders that train.py wrote.")
    runs = [run for run in map(read_run, args.runs) if run]
    if not runs:
        raise UserError(
            f"None of {', '.join(args.runs)} holds a run; give folders that train.py wrote."
        )
    groups = grouped(runs)
    columns = ("run", "seeds", "epochs", SCORES[_score(groups)], "spread", "loss", "images/s")
    tables.show("Runs, the best first", columns, [_line(group) for group in groups])
    for group in groups if len(groups) > 1 else ():
        told = [f"{name}={value}" for name, value in group.differs.items() if value is not None]
        print(f"{group.name}: {' '.join(told)}")
    if args.out:
        draw(groups, Path(args.out))
        print(f"Curves: {args.out}")
    if args.accuracies:
        draw_accuracies(groups, Path(args.accuracies))
        print(f"Accuracies: {args.accuracies}")
    if args.json:
        print(json.dumps({"runs": [_result(group) for group in groups]}))


@dataclass(frozen=True)
class Run:
    """`choices` are what the user asked for: settings, and fields of the recipe by --override."""

    name: str
    seed: int
    choices: Mapping[str, Any]
    epochs: int
    rows: Sequence[Row]

    @property
    def best(self) -> Row | None:
        return best_row(list(self.rows))


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone; `differs` is what tells them from the other groups."""

    runs: tuple[Run, ...]
    differs: Mapping[str, Any]

    @property
    def name(self) -> str:
        letters = zip(*(run.name for run in self.runs), strict=False)
        shared = "".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, letters))
        return shared if len(self.runs) == 1 else shared.rstrip("-_. ") or self.runs[0].name

    def values(self, name: str) -> list[float]:
        """That of each run's best epoch, where there is one."""
        rows = [run.best for run in self.runs]
        return [row[name] for row in rows if row and row.get(name) is not None]

    @property
    def scores(self) -> list[float]:
        """Of each run's best epoch, the figure by which it is the best."""
        return [value for name in SCORES for value in self.values(name)]


def read_run(folder: str | Path) -> Run | None:
    """None where `folder` holds no run. Raises UserError where it cannot be read."""
    path = RunFolder(folder)
    recorded = path.recorded()
    if recorded is None:
        return None
    choices = dict(recorded["settings"])
    seed, override = choices.pop("seed"), choices.pop("override")
    choices |= dict(change.split("=", 1) for change in override)
    epochs = recorded["plan"]["epochs"]
    return Run(Path(folder).name, seed, choices, epochs, path.read_metrics())


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Groups, the one of the highest mean accuracy first."""
    names = sorted({name for run in runs for name in run.choices})
    apart = [name for name in names if len({json.dumps(run.choices.get(name)) for run in runs}) > 1]
    by_choices: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps([run.choices.get(name) for name in apart])
        by_choices.setdefault(key, []).append(run)
    groups = [
        Group(tuple(group), {name: group[0].choices.get(name) for name in apart})
        for group in by_choices.values()
    ]
    _score(groups)
    return sorted(groups, key=lambda group: -_mean(group.scores, -1.0))


def _score(groups: Sequence[Group]) -> str:
    """The column of SCORES that all runs have. Raises UserError for runs of several tasks."""
    found = {score_of(row) for group in groups for run in group.runs for row in run.rows}
    if len(found) > 1:
        raise UserError(
            f"Runs of several tasks cannot be compared: they have {' and '.join(sorted(found))}; "
            "give those of one."
        )
    return found.pop() if found else "val_top1"


def draw(groups: Sequence[Group], path: Path) -> None:
    """Accuracy and losses over the epochs: a line for a group's mean, a band for its spread."""
    from matplotlib.ticker import MaxNLocator

    figure = figures.new(13, 4.5)
    score = _score(groups)
    panels = {
        score: f"val {SCORES[score]} (%)",
        "val_loss": "val loss",
        "train_loss": "train loss",
    }
    for axes, (name, title) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for group in groups:
            epochs = min(len(run.rows) for run in group.runs)
            curves = [[row.get(name) for row in run.rows[:epochs]] for run in group.runs]
            if not epochs or any(value is None for curve in curves for value in curve):
                continue
            scale = 100 if name == score else 1
            by_epoch = [[scale * value for value in values] for values in zip(*curves, strict=True)]
            places = range(1, epochs + 1)
            (line,) = axes.plot(places, [_mean(v) for v in by_epoch], label=_label(group))
            if len(group.runs) > 1:
                low, high = [min(v) for v in by_epoch], [max(v) for v in by_epoch]
                axes.fill_between(places, low, high, color=line.get_color(), alpha=0.2)
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if not handles:
        handles, labels = figure.axes[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    figures.save(figure, path)


def draw_accuracies(groups: Sequence[Group], path: Path) -> None:
    """A line for each group, the best on top: a dot for each run, a tick for their mean."""

    figure = figures.new(8, 1.2 + 0.35 * len(groups))
    axes = figure.subplots()
    for y, group in enumerate(groups):
        found = [100 * value for value in group.scores]
        if not found:
            continue
        axes.plot([min(found), max(found)], [y, y], color="#4c72b0", alpha=0.3, linewidth=6)
        axes.plot(found, [y] * len(found), "o", color="#4c72b0")
        axes.plot(_mean(found), y, "|", color="black", markersize=16)
        axes.annotate(
            f"{_mean(found):.1f}", (max(found), y), (8, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(groups)), [group.name for group in groups])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(xlabel=f"val {SCORES[_score(groups)]} (%), best epoch")
    axes.grid(axis="x", alpha=0.3)
    figures.save(figure, path)


def _mean(values: Sequence[float], otherwise: float = float("nan")) -> float:
    return sum(values) / len(values) if values else otherwise


def _label(group: Group) -> str:
    return f"{group.name} ({len(group.runs)} seeds)" if len(group.runs) > 1 else group.name


def _line(group: Group) -> tuple[str, ...]:
    found = group.scores
    done = dict.fromkeys(f"{len(run.rows)} of {run.epochs}" for run in group.runs)
    return (
        group.name,
        ",".join(str(run.seed) for run in group.runs),
        ", ".join(done),
        f"{_mean(found):.4f}",
        f"{max(found) - min(found):.4f}" if len(found) > 1 else "",
        f"{_mean(group.values('val_loss')):.3f}",
        f"{_mean(group.values('images_per_s')):.0f}",
    )


def _result(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "runs": [run.name for run in group.runs],
        "seeds": [run.seed for run in group.runs],
        "differs": dict(group.differs),
        **{name: group.values(name) for name in SCORES if group.values(name)},
        "val_loss": group.values("val_loss"),
    }


if __name__ == "__main__":
    cli.run(main, define_flags, bare="runs")
