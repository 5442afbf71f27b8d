"""Several runs side by side: a table and a plot of their curves.

    python -m mnv3_tf.training.compare runs/* --out=curves.png --accuracies=accuracies.png

The best run comes first; below the table stand the settings in which the runs are not alike. Runs
that differ in nothing but the seed are one line, with their mean and how far the lowest and the
highest lie apart, and one curve with a band; their name is what their names begin with. Folders
without a run are passed over.
"""

import json
from pathlib import Path
from typing import Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS
from mnv3_tf.training import curves
from mnv3_tf.training.run_groups import Group, grouped, mean, read_run, score_of_all
from mnv3_tf.ui import cli, tables


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
    columns = ("run", "seeds", "epochs", score_of_all(groups).title, "spread", "loss", "images/s")
    tables.show("Runs, the best first", columns, [_line(group) for group in groups])
    for group in groups if len(groups) > 1 else ():
        settings = [f"{name}={value}" for name, value in group.differs.items() if value is not None]
        print(f"{group.name}: {' '.join(settings)}")
    if args.out:
        curves.draw_groups(groups, Path(args.out))
        print(f"Curves: {args.out}")
    if args.accuracies:
        curves.draw_accuracies(groups, Path(args.accuracies))
        print(f"Accuracies: {args.accuracies}")
    if args.json:
        print(json.dumps({"runs": [_result(group) for group in groups]}))


def _line(group: Group) -> tuple[str, ...]:
    scores = group.scores
    done = dict.fromkeys(f"{len(run.rows)} of {run.epochs}" for run in group.runs)
    return (
        group.name,
        ",".join(str(run.seed) for run in group.runs),
        ", ".join(done),
        f"{mean(scores):.4f}",
        f"{max(scores) - min(scores):.4f}" if len(scores) > 1 else "",
        f"{mean(group.values('val_loss')):.3f}",
        f"{mean(group.values('images_per_s')):.0f}",
    )


def _result(group: Group) -> dict[str, Any]:
    columns = [task.score.column for task in TASKS.values()]
    scores = {name: group.values(name) for name in columns if group.values(name)}
    return {
        "name": group.name,
        "runs": [run.name for run in group.runs],
        "seeds": [run.seed for run in group.runs],
        "differs": dict(group.differs),
        **scores,
        "val_loss": group.values("val_loss"),
    }


if __name__ == "__main__":
    cli.run(main, define_flags, bare="runs")
