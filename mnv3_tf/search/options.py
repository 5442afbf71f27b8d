"""The flags that both searches have, and what is made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.journal import Journal
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.latency import (
    CountedLatency,
    Latency,
    MeasuredLatency,
    TableLatency,
    Timer,
)
from mnv3_tf.search.latency_model import LatencyTable
from mnv3_tf.tasks.specs import DATASETS
from mnv3_tf.tflite import skeleton
from mnv3_tf.training.run_folder import as_json

if TYPE_CHECKING:
    from mnv3_tf.search.short_training import ShortTraining
    from mnv3_tf.training.recipe import Recipe

SCHEMA_VERSION = 1
LATENCIES = ("table", "madds", "measured")
ROUNDS, THREADS = 20, 1


def define_flags(values: flags.FlagValues, steps: int, retrain: Sequence[str]) -> None:
    """`steps` is the default length of a short training, `retrain` what --retrain may be."""

    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=values)

    text("dataset", None, f"{DATASETS}; classification alone.")
    text("data_dir", None, "Where tensorflow_datasets keeps its sets.")
    flags.DEFINE_float(
        "held_out",
        0.2,
        "Part of the training set to judge by; the validation set is never looked at.",
        flag_values=values,
    )
    text("target", None, "Latency to reach: a part of the seed's (0.75), or 2.4ms, 900us, 40M.")
    flags.DEFINE_enum(
        "latency",
        "table",
        LATENCIES,
        "From --latency_table, counted as multiply-adds, or measured on each network's file.",
        flag_values=values,
    )
    text("latency_table", None, "What python -m benchmark latency_table wrote.")
    flags.DEFINE_enum(
        "quantize", "none", ["none", "int8"], "The files whose latency counts.", flag_values=values
    )
    text("device", "host", "Where networks are measured: host, a phone's serial, or none.")
    text("adb", None, "The adb client.")
    text("benchmark_binary", None, "benchmark_model, for phones.")
    text("recipe", None, "How candidates are trained; see docs/recipes.md.")
    flags.DEFINE_integer("steps", steps, "Training steps of a candidate.", 1, flag_values=values)
    flags.DEFINE_float("learning_rate", None, "Of candidates.", flag_values=values)
    flags.DEFINE_integer("batch_size", None, "Of candidates.", 1, flag_values=values)
    flags.DEFINE_integer(
        "seed", 0, "Of all that is drawn; a run folder has its own.", flag_values=values
    )
    text("workers", "auto", "Processes, or ray, or ray:ADDRESS; auto is one a core.")
    flags.DEFINE_enum(
        "retrain",
        "scratch",
        retrain,
        "How the network found is trained at the end, into --out/run.",
        flag_values=values,
    )
    text("retrain_recipe", None, "Its recipe; None is train.py's.")
    text("out", None, "Folder of the journal, the network found and the report.")


def out_folder(args: flags.FlagValues) -> Path:
    """Raises UserError where --out is missing or no folder."""
    if not args.out:
        raise UserError("--out is missing; give a folder for the search.")
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; give a folder for the search.")
    return out


def open_timer(args: flags.FlagValues) -> Timer | None:
    """Where --device says; None for "none"."""
    if args.device == "none":
        return None
    from mnv3_tf.measuring import timers

    serial = None if args.device == "host" else args.device
    return timers.open_timer(serial, args.adb, args.benchmark_binary, THREADS, ROUNDS)


def open_latency(args: flags.FlagValues, timer: Timer | None, seed: NetworkSpec) -> Latency:
    """What --latency says. Raises UserError where it does not fit the other flags."""
    if args.latency == "madds":
        return CountedLatency()
    if args.latency == "measured":
        if timer is None:
            raise UserError("--latency=measured needs a --device; give host or a phone's serial.")
        return MeasuredLatency(timer, seed, lambda spec: skeleton.network(spec, args.quantize))
    if not args.latency_table:
        raise UserError(
            "--latency_table is missing; make one with python -m benchmark latency_table, or give "
            "--latency=madds or --latency=measured."
        )
    table = LatencyTable.read(args.latency_table)
    for name in ("device", "threads", "delegate"):
        theirs = table.conditions.get(name)
        ours = timer.conditions.get(name) if timer else theirs
        if theirs != ours:
            raise UserError(
                f"{args.latency_table} was measured with {name} {theirs!r}, but --device="
                f"{args.device} is {ours!r}; give a table of that, or --device=none to search "
                "without measuring what is found."
            )
    return TableLatency(table, args.quantize)


def open_journal(path: Path, settings: Mapping[str, Any]) -> Journal:
    """The journal of this search. Raises UserError where the file is another search's."""
    journal, settings = Journal(path), as_json(dict(settings))
    entries = journal.entries()
    if not entries:
        journal.add({"schema_version": SCHEMA_VERSION, "settings": settings})
        return journal
    version = entries[0].get("schema_version") if isinstance(entries[0], dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} is of version {version}, not {SCHEMA_VERSION}; give another --out."
        )
    before = entries[0]["settings"]
    for name in {**before, **settings}:
        if before.get(name) != settings.get(name):
            raise UserError(
                f"{path} is of a search with {name}={before.get(name)!r}, not "
                f"{settings.get(name)!r}; give the same, or another --out."
            )
    return journal


def short_training(
    args: flags.FlagValues, recipe: "Recipe", dataset: str, data_dir: str | None, seed: int
) -> "ShortTraining":
    """How candidates are judged. Raises UserError for values out of range."""
    from dataclasses import replace

    from mnv3_tf.search.short_training import ShortTraining, brief

    if not 0 < args.held_out < 1:
        raise UserError(f"--held_out={args.held_out:g} is no part of a set; choose from 0 to 1.")
    recipe = brief(recipe, args.steps, args.learning_rate)
    if args.batch_size:
        recipe = replace(recipe, batch_size=args.batch_size)
    return ShortTraining(dataset, data_dir, seed, args.held_out, recipe, args.steps)


def retrain(
    args: flags.FlagValues, out: Path, dataset: str, data_dir: str | None, seed: int
) -> None:
    """Trains what was found into `out`/run, as --retrain says."""
    if args.retrain == "none":
        return
    from mnv3_tf.training.run import train
    from mnv3_tf.training.settings import Settings

    inherited = args.retrain == "inherited"
    train(
        Settings(
            dataset=dataset,
            data_dir=data_dir,
            out=str(out / "run"),
            model=str(out / "spec.json"),
            weights=str(out / "weights.weights.h5") if inherited else None,
            recipe=args.retrain_recipe,
            seed=seed,
        )
    )
