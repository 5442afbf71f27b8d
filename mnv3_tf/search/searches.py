"""Both searches whole: from their settings to the files in --out."""

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.journal import Journal
from mnv3_tf.measuring import timers
from mnv3_tf.measuring.timers import Timer
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import entries, report
from mnv3_tf.search.candidates import Candidate, Start, Trial
from mnv3_tf.search.latency_model import LatencyTable
from mnv3_tf.search.latency_sources import (
    CountedLatency,
    LatencySource,
    MeasuredLatency,
    TableLatency,
    parse_target,
    shown,
)
from mnv3_tf.search.nas import Nas
from mnv3_tf.search.netadapt import RULES, NetAdapt, require_reachable
from mnv3_tf.search.pool import open_pool
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.search.report import NasResult, NasSummary, NetAdaptSummary, Search
from mnv3_tf.search.rewards import STRENGTHS, Reward
from mnv3_tf.search.settings import NasSettings, NetAdaptSettings, SearchSettings
from mnv3_tf.search.short_training import ShortTraining, brief
from mnv3_tf.search.space import Space
from mnv3_tf.search.starting_point import load_starting_point, named_classifier
from mnv3_tf.search.strategies import make
from mnv3_tf.tflite import skeleton
from mnv3_tf.training import recipe as recipes
from mnv3_tf.training import run
from mnv3_tf.training.recipe import Recipe
from mnv3_tf.training.settings import TrainSettings

ROUNDS, THREADS = 20, 1
REWARDS = "rewards.json"
"""Of each sample, in --out; other searches draw them beside their own."""


def netadapt(settings: NetAdaptSettings) -> NetAdaptSummary:
    """Returns what summary.json says. Goes on where a search into the same folder stopped.

    Raises UserError for settings that do not fit each other or the folder.
    """
    out = _folder(settings)
    point = load_starting_point(settings)
    timer = open_timer(settings)
    latency = open_latency(settings, timer, point.spec)
    data = point.dataset, point.data_dir, point.seed
    training = _short_training(settings, point.recipe, *data)
    (before,) = latency.of([point.spec])
    target = parse_target(settings.target, before, latency.unit)
    smallest = shrunk(point.spec, settings.smallest)
    require_reachable(target, smallest, latency)
    pool = open_pool(settings.workers)
    decides = {
        "search": "netadapt",
        **{name: getattr(settings, name) for name in ("target", "delta", "rule", "smallest")},
        "seed_network": point.spec.hash,
        **dataclasses.asdict(training),
        **latency.conditions,
    }
    journal = entries.open_journal(out / "journal.jsonl", decides)
    if point.held_out not in (None, settings.held_out):
        print(
            f"The starting point was trained with --held_out={point.held_out:g}, so it has seen "
            f"pictures that it is evaluated on here ({settings.held_out:g}), and will look better "
            f"than it is; better train it with --held_out={settings.held_out:g}.",
            flush=True,
        )
    weights = point.write(out / "seed.weights.h5")
    first = _evaluate_start(journal, training, weights, before)
    print(f"start  {shown(before, latency.unit)}  held-out top-1 {first.accuracy:.4f}", flush=True)
    with pool:
        search = NetAdapt(
            target,
            settings.delta * before,
            smallest,
            RULES[settings.rule],
            latency,
            lambda trials: pool.run(training.evaluate, trials),
            journal,
            out / "weights",
            settings.steps,
        )
        steps = list(search.run(first, weights))
    best = _written(steps[-1].chosen, f"{point.spec.name}_netadapt", out)
    with atomic_write(out / "weights.weights.h5") as temporary:
        shutil.copyfile(steps[-1].start.weights, temporary)
    summary = report.write_netadapt(Search(settings, target, latency, timer), first, steps, best)
    _retrain(settings, *data)
    return summary


def nas(settings: NasSettings) -> NasSummary:
    """Returns what summary.json says. Goes on where a search into the same folder stopped.

    Raises UserError for settings that do not fit each other or the folder.
    """
    assert settings.dataset
    out = _folder(settings)
    beside = {Path(folder).name: read_rewards(folder) for folder in settings.beside}
    data = settings.dataset, settings.data_dir, settings.seed
    training = _short_training(settings, recipes.load(settings.recipe or "quick"), *data)
    start = named_classifier(settings)
    start = start.replace(num_classes=len(training.classes(start.resolution)))
    space = read_space(settings.space, start)
    timer = open_timer(settings)
    latency = open_latency(settings, timer, start)
    (before,) = latency.of([start])
    target = parse_target(settings.target, before, latency.unit, below_start=False)
    strength = STRENGTHS[settings.reward] if settings.strength is None else settings.strength
    reward = Reward(settings.reward, target, strength)
    decides = {
        "search": "nas",
        "space": {"seed": start.hash, **{name: getattr(space, name) for name in SPACE_CHOICES}},
        **{name: getattr(settings, name) for name in ("strategy", "batch", "early_stopping")},
        **dataclasses.asdict(reward),
        **dataclasses.asdict(training),
        **latency.conditions,
    }
    pool = open_pool(settings.workers)
    journal = entries.open_journal(out / "journal.jsonl", decides)
    print(
        f"{space.size:.2g} networks around {start.name}, {shown(before, latency.unit)}; "
        f"target {shown(target, latency.unit)}",
        flush=True,
    )
    with pool:
        search = Nas(
            space,
            make(settings.strategy, space, settings.seed),
            reward,
            latency,
            lambda trials: pool.run(training.evaluate, trials),
            journal,
            settings.samples,
            settings.batch,
            settings.steps // 3 if settings.early_stopping else 0,
        )
        samples = list(search.run())
    best = max(samples, key=lambda sample: (not sample.candidate.stopped, sample.reward))
    final = _written(best.candidate, f"{start.name}_nas", out)
    write_json(out / REWARDS, [sample.reward for sample in samples])
    summary = report.write_nas(
        Search(settings, target, latency, timer),
        NasResult(settings.strategy, space, samples, final, beside),
    )
    _retrain(settings, *data)
    return summary


# -- what the settings name ------------------------------------------------------------------


def _folder(settings: SearchSettings) -> Path:
    out = Path(settings.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; give a folder for the search.")
    return out


def open_timer(settings: SearchSettings) -> Timer | None:
    """Where --device says; None for "none"."""
    if settings.device == "none":
        return None
    return timers.open_timer(
        settings.device, settings.adb, settings.benchmark_binary, THREADS, ROUNDS
    )


def open_latency(
    settings: SearchSettings, timer: Timer | None, start: NetworkSpec
) -> LatencySource:
    """What --latency says. Raises UserError where it does not fit the other settings."""
    if settings.latency == "madds":
        return CountedLatency()
    if settings.latency == "measured":
        if timer is None:
            raise UserError(
                "--latency=measured needs a --device; give host, a phone's serial, or arm:CORE."
            )
        return MeasuredLatency(timer, start, lambda spec: skeleton.network(spec, settings.quantize))
    if not settings.latency_table:
        raise UserError(
            "--latency_table is missing; make one with python -m benchmark latency_table, or give "
            "--latency=madds or --latency=measured."
        )
    table = LatencyTable.read(settings.latency_table)
    for name in ("device", "threads", "delegate", "counted"):
        theirs = table.conditions.get(name)
        ours = timer.conditions.get(name) if timer else theirs
        if theirs != ours:
            raise UserError(
                f"{settings.latency_table} was measured with {name} {theirs!r}, but --device="
                f"{settings.device} is {ours!r}; give a table of that, or --device=none to search "
                "without measuring the final network."
            )
    return TableLatency(table, settings.quantize)


def read_rewards(folder: str) -> list[float]:
    """Raises UserError for what is no folder of a finished search."""
    try:
        return [float(reward) for reward in json.loads((Path(folder) / REWARDS).read_text())]
    except (OSError, ValueError, TypeError):
        raise UserError(
            f"--beside={folder} holds no {REWARDS} of a finished search; leave it out."
        ) from None


SPACE_CHOICES = tuple(f.name for f in dataclasses.fields(Space) if f.name != "start")


def read_space(path: str | None, start: NetworkSpec) -> Space:
    """The default space around `start`, with the choices that the file names instead.

    Raises UserError for a file that cannot be read, or names what the space has not.
    """
    if path is None:
        return Space(start)
    try:
        tree = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the space {path}: {error}; write it as JSON.") from None
    if not isinstance(tree, dict) or {"seed", "start"} & tree.keys():
        raise UserError(
            f"The space {path} must be a JSON object of choices, without a starting point."
        )
    space: Any = spec_json.decode(Space, {**tree, "start": json.loads(start.to_json())}, "space")
    assert isinstance(space, Space)
    return space


# -- candidates and the final network --------------------------------------------------------


def _short_training(
    settings: SearchSettings, recipe: Recipe, dataset: str, data_dir: str | None, seed: int
) -> ShortTraining:
    recipe = brief(recipe, settings.steps, settings.learning_rate)
    if settings.batch_size:
        recipe = replace(recipe, batch_size=settings.batch_size)
    return ShortTraining(dataset, data_dir, seed, settings.held_out, recipe, settings.steps)


def _evaluate_start(
    journal: Journal, training: ShortTraining, start: Start, latency: float
) -> Candidate:
    """As it is, on the held-out pictures."""
    if recorded := entries.start_of(journal):
        return recorded
    outcome = replace(training, steps=0).evaluate(Trial(start.spec, start))
    candidate = Candidate(start.spec, latency, outcome.accuracy, outcome.loss)
    entries.add_start(journal, candidate)
    return candidate


def _written(candidate: Candidate, name: str, out: Path) -> Candidate:
    """The candidate with its network renamed, which is in spec.json."""
    spec = candidate.spec.replace(name=name)
    with atomic_write(out / "spec.json") as temporary:
        temporary.write_text(spec.to_json())
    return replace(candidate, spec=spec)


def _retrain(settings: SearchSettings, dataset: str, data_dir: str | None, seed: int) -> None:
    """Trains the final network into --out/run, as --retrain says."""
    if settings.retrain == "none":
        return
    out = Path(settings.out)
    inherited = settings.retrain == "inherited"
    run.train(
        TrainSettings(
            dataset=dataset,
            data_dir=data_dir,
            out=str(out / "run"),
            model=str(out / "spec.json"),
            weights=str(out / "weights.weights.h5") if inherited else None,
            recipe=settings.retrain_recipe,
            seed=seed,
        )
    )
