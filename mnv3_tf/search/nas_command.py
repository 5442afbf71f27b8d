"""Platform-aware search: the network with the best accuracy for its latency, in a space.

    python -m mnv3_tf.search nas --model=small --resolution=64 --dataset=shapes \
        --latency_table=host.json --target=0.75 --samples=150 --steps=120 --recipe=quick \
        --out=searches/shapes
    python -m mnv3_tf.search nas --model=mnasnet_a1 --dataset=tfds:imagenet2012 \
        --latency_table=phone.json --device=SERIAL --target=80ms --out=searches/large

The space is that of MnasNet around --model; --space changes its choices. --out receives spec.json,
which train.py, export_tflite.py and the benchmarks take, summary.json, report.html, and run/, the
network trained at the end. The same command goes on where it stopped.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.networks import spec_json
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import options
from mnv3_tf.search.latency import parse_target, shown
from mnv3_tf.search.nas import Nas
from mnv3_tf.search.rewards import KINDS, STRENGTHS, Reward
from mnv3_tf.search.space import Space
from mnv3_tf.search.strategies import STRATEGIES, make
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.ui import cli

if TYPE_CHECKING:
    from mnv3_tf.search.short_training import ShortTraining

PAPER_SAMPLES, PAPER_STEPS = 8_000, 1_564
"""MnasNet trains 8,000 models for five epochs each; the steps are those of batches of 4,096."""


REWARDS = "rewards.json"
"""Of each sample, in --out; other searches draw them beside their own."""


def define_flags(values: flags.FlagValues) -> None:
    def count(name: str, default: int, meaning: str) -> None:
        flags.DEFINE_integer(name, default, meaning, 1, flag_values=values)

    define_network_flags(values, default="small")
    options.define_flags(values, PAPER_STEPS, ["scratch", "none"])
    flags.DEFINE_string(
        "space",
        None,
        'A JSON file with choices for the space, as {"kernels": [3, 5], "layers": [0]}.',
        flag_values=values,
    )
    flags.DEFINE_enum(
        "strategy", "ppo", list(STRATEGIES), "Chooses what to try next.", flag_values=values
    )
    flags.DEFINE_enum(
        "reward", "mnasnet", list(KINDS), "MnasNet's, or TuNAS' absolute one.", flag_values=values
    )
    flags.DEFINE_float(
        "strength",
        None,
        "How much latency counts: MnasNet's exponent (-0.07 for Large, -0.15 for Small in the "
        "paper), or the absolute reward's slope.",
        flag_values=values,
    )
    count("samples", PAPER_SAMPLES, "Networks to try.")
    count("batch", 8, "Networks that are tried before the strategy learns of them.")
    flags.DEFINE_bool(
        "early_stopping",
        True,
        "Stop networks that have fallen behind after a third of their steps.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "beside", [], "Folders of other searches, for the plot of rewards.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    out = options.out_folder(args)
    if not args.dataset:
        raise UserError("--dataset is missing; give the pictures to search with.")
    beside = {Path(folder).name: read_rewards(folder) for folder in args.beside}
    cli.import_tensorflow(args)
    from mnv3_tf.search import nas_report
    from mnv3_tf.search.pool import open_pool
    from mnv3_tf.training import recipe as recipes

    recipe = recipes.load(args.recipe or "quick")
    training = options.short_training(args, recipe, args.dataset, args.data_dir, args.seed)
    space = read_space(args.space, _seed(args, training))
    timer = options.open_timer(args)
    latency = options.open_latency(args, timer, space.seed)
    (seed_latency,) = latency.of([space.seed])
    target = parse_target(args.target, seed_latency, latency.unit, below_seed=False)
    strength = STRENGTHS[args.reward] if args.strength is None else args.strength
    settings = {
        "search": "nas",
        "space": dataclasses.asdict(space) | {"seed": space.seed.hash},
        **{name: getattr(args, name) for name in ("strategy", "batch", "early_stopping")},
        **dataclasses.asdict(Reward(args.reward, target, strength)),
        **dataclasses.asdict(training),
        **latency.conditions,
    }
    pool = open_pool(args.workers)
    journal = options.open_journal(out / "journal.jsonl", settings)
    print(
        f"{space.size:.2g} networks around {space.seed.name}, "
        f"{shown(seed_latency, latency.unit)}; target {shown(target, latency.unit)}",
        flush=True,
    )
    with pool:
        search = Nas(
            space,
            make(args.strategy, space, args.seed),
            Reward(args.reward, target, strength),
            latency,
            lambda trials: pool.run(training.judge, trials),
            journal,
            args.samples,
            args.batch,
            args.steps // 3 if args.early_stopping else 0,
        )
        samples = list(search.run())

    best = max(samples, key=lambda sample: (not sample.judged.stopped, sample.reward))
    found = dataclasses.replace(
        best.judged, spec=best.judged.spec.replace(name=f"{space.seed.name}_nas")
    )
    with atomic_write(out / "spec.json") as temporary:
        temporary.write_text(found.spec.to_json())
    with atomic_write(out / REWARDS) as temporary:
        temporary.write_text(json.dumps([sample.reward for sample in samples]) + "\n")
    summary = nas_report.write(
        out,
        args.strategy,
        space,
        samples,
        found,
        target,
        latency,
        timer,
        args.quantize,
        beside,
    )
    options.retrain(args, out, args.dataset, args.data_dir, args.seed)
    if args.json:
        print(json.dumps(summary))


def read_rewards(folder: str) -> list[float]:
    """Raises UserError for what is no folder of a finished search."""
    try:
        return [float(reward) for reward in json.loads((Path(folder) / REWARDS).read_text())]
    except (OSError, ValueError, TypeError):
        raise UserError(
            f"--beside={folder} holds no {REWARDS} of a finished search; leave it out."
        ) from None


def read_space(path: str | None, seed: NetworkSpec) -> Space:
    """The default space around `seed`, with the choices that the file names instead.

    Raises UserError for a file that cannot be read, or names what the space has not.
    """
    if path is None:
        return Space(seed)
    try:
        tree = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the space {path}: {error}; write it as JSON.") from None
    if not isinstance(tree, dict) or "seed" in tree:
        raise UserError(f"The space {path} must be a JSON object of choices, without a seed.")
    given: Any = spec_json.decode(Space, {**tree, "seed": json.loads(seed.to_json())}, "space")
    assert isinstance(given, Space)
    return given


def _seed(args: flags.FlagValues, training: "ShortTraining") -> NetworkSpec:
    from mnv3_tf.search.starting_point import require_classifier

    spec = require_classifier(network_spec(args))
    return spec.replace(num_classes=len(training.classes(spec.resolution)))
