"""NetAdapt: from a trained network to one of a lower latency, a small cut at a time.

    python -m mnv3_tf.search netadapt --run=runs/flowers --latency_table=host.json \
        --target=0.75 --steps=40 --out=searches/flowers
    python -m mnv3_tf.search netadapt --model=large --weights=imagenet \
        --dataset=tfds:imagenet2012 --latency_table=phone.json --device=SERIAL --target=51ms \
        --out=searches/large

The seed is the network of a run folder, or a model with its weights. --out receives spec.json and
weights.weights.h5, which train.py, export_tflite.py and the benchmarks take, summary.json,
report.html, and run/, the network trained at the end. The same command goes on where it stopped.
"""

import dataclasses
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import options
from mnv3_tf.search.candidates import Judged
from mnv3_tf.search.latency import Latency, parse_target, shown
from mnv3_tf.search.netadapt import RULES, NetAdapt, require_reachable
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.tasks.flags import define_network_flags
from mnv3_tf.ui import cli

if TYPE_CHECKING:
    from mnv3_tf.journal import Journal
    from mnv3_tf.search.short_training import ShortTraining, Start

PAPER_STEPS = 10_000


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("run", None, "The seed: a run folder.", flag_values=values)
    define_network_flags(values, default="")
    flags.DEFINE_string("weights", None, "With --model: those of the seed.", flag_values=values)
    options.define_flags(values, PAPER_STEPS, ["scratch", "inherited", "none"])
    flags.DEFINE_float(
        "delta", 0.01, "The least cut of a step, a part of the seed's latency.", flag_values=values
    )
    flags.DEFINE_enum(
        "rule",
        next(iter(RULES)),
        list(RULES),
        "Which proposal is taken: the paper's rule, or the least loss of accuracy (NetAdapt's).",
        flag_values=values,
    )
    flags.DEFINE_float(
        "smallest", 0.25, "Part of each block's channels that stays at least.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    out = options.out_folder(args)
    if not 0 < args.delta < 1:
        raise UserError(f"--delta={args.delta} is no part of a latency; choose from 0 to 1.")
    cli.import_tensorflow(args)
    from mnv3_tf.search import netadapt_report
    from mnv3_tf.search.pool import open_pool
    from mnv3_tf.search.starting_point import read_seed

    seed = read_seed(args)
    timer = options.open_timer(args)
    latency = options.open_latency(args, timer, seed.spec)
    training = options.short_training(args, seed.recipe, seed.dataset, seed.data_dir, seed.seed)
    (before,) = latency.of([seed.spec])
    target = parse_target(args.target, before, latency.unit)
    smallest = shrunk(seed.spec, args.smallest)
    require_reachable(target, smallest, latency)
    pool = open_pool(args.workers)
    journal = options.open_journal(
        out / "journal.jsonl", _settings(args, seed.spec, training, latency)
    )
    if seed.held_out not in (None, args.held_out):
        print(
            f"The seed was trained with --held_out={seed.held_out:g}, so it has seen pictures that "
            f"it is judged by here ({args.held_out:g}), and will look better than it is; better "
            f"train it with --held_out={args.held_out:g}.",
            flush=True,
        )
    start = seed.write(out / "seed.weights.h5")
    first = _judge_seed(journal, training, start, before)
    print(f"seed  {shown(before, latency.unit)}  held-out top-1 {first.accuracy:.4f}", flush=True)
    with pool:
        search = NetAdapt(
            target,
            args.delta * before,
            smallest,
            RULES[args.rule],
            latency,
            lambda trials: pool.run(training.judge, trials),
            journal,
            out / "weights",
            args.steps,
        )
        steps = list(search.run(first, start))

    name = f"{seed.spec.name}_netadapt"
    last = replace(steps[-1].chosen, spec=steps[-1].chosen.spec.replace(name=name))
    with atomic_write(out / "spec.json") as temporary:
        temporary.write_text(last.spec.to_json())
    with atomic_write(out / "weights.weights.h5") as temporary:
        shutil.copyfile(steps[-1].start.weights, temporary)
    summary = netadapt_report.write(out, first, steps, last, target, latency, timer, args.quantize)
    options.retrain(args, out, seed.dataset, seed.data_dir, seed.seed)
    if args.json:
        print(json.dumps(summary))


def _settings(
    args: flags.FlagValues, seed: NetworkSpec, training: "ShortTraining", latency: Latency
) -> dict[str, Any]:
    """All that decides what is found."""
    return {
        "search": "netadapt",
        **{name: getattr(args, name) for name in ("target", "delta", "rule", "smallest")},
        "seed_network": seed.hash,
        **dataclasses.asdict(training),
        **latency.conditions,
    }


def _judge_seed(
    journal: "Journal", training: "ShortTraining", start: "Start", latency: float
) -> Judged:
    """As it is, on the held-out pictures."""
    from mnv3_tf.search.short_training import Trial

    for entry in journal.entries():
        if "seed" in entry:
            return Judged.from_json(entry["seed"])
    outcome = replace(training, steps=0).judge(Trial(start.spec, start))
    judged = Judged(start.spec, latency, outcome.accuracy, outcome.loss)
    journal.add({"seed": judged.to_json()})
    return judged
