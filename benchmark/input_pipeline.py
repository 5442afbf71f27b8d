"""Images a second of the training pipeline, beside the bound that decoding sets.

The bound decodes the same JPEGs whole, as many at once, and does nothing else with them. The
pipeline decodes, crops at random, resizes, flips and normalises; then come further augmentations,
one at a time. All files are in memory.

    python -m benchmark input_pipeline --pictures=photographs
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import Checked, command, define, read, setting

if TYPE_CHECKING:
    import tensorflow as tf

    from mnv3_tf.measuring.throughput import Turn

WARM_UP = 16
"""Batches before the clock runs: what starts up, and what is ready in buffers, does not count."""


@dataclass(frozen=True)
class PipelineSettings(Checked):
    """What the pipeline reads, and how it is timed. Raises UserError for values out of range."""

    pictures: str | None = setting(None, "Folder with JPEGs, searched whole.")
    resolution: int = setting(224, "Side of the views.", least=1)
    batch_size: int = setting(32, "Pictures in a batch.", least=1)
    batches: int = setting(64, "Batches in a turn.", least=1)
    rounds: int = setting(10, "How often each takes a turn.", least=5)

    @property
    def side(self) -> str:
        return f"{self.resolution} x {self.resolution}"


def define_flags(values: flags.FlagValues) -> None:
    define(values, PipelineSettings)
    flags.DEFINE_string("out", None, "Folder for results.json.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = read(args, PipelineSettings)
    if not settings.pictures:
        raise UserError("--pictures is missing; give a folder with JPEGs.")
    paths = sorted(p for p in Path(settings.pictures).rglob("*") if p.suffix in (".jpg", ".jpeg"))
    if not paths:
        raise UserError(f"--pictures={settings.pictures} holds no .jpg; give a folder that does.")
    cli.import_tensorflow(args)
    from mnv3_tf.measuring import throughput

    rows = throughput.compare(
        turns(paths, settings.resolution, settings.batch_size, settings.batches), settings.rounds
    )
    results = throughput.report(
        f"Input pipeline, {len(paths)} JPEGs to {settings.side}",
        command("benchmark input_pipeline", settings),
        rows,
    )
    view = next(row for row in rows if row["name"] == "view")
    for row in rows[rows.index(view) + 1 :]:
        row["cost_percent"] = 100 * (view["images_per_s"] / row["images_per_s"] - 1)
        print(f"{row['name']}: {row['cost_percent']:+.0f} % of a view's time")
    if args.out:
        throughput.write(results, args.out)
    if args.json:
        print(json.dumps(results))


def turns(
    paths: Sequence[Path], resolution: int, batch_size: int, batches: int
) -> dict[str, "Turn"]:
    """What `throughput.compare` takes; the bound is the first."""
    import tensorflow as tf

    from mnv3_tf.data.augment import Augmentation
    from mnv3_tf.data.dataset import Split, in_memory

    contents = [path.read_bytes() for path in paths]
    source = in_memory(contents, [0] * len(contents))
    unchecked = in_memory(contents, [0] * len(contents))
    unchecked.checked = False

    def bound() -> tf.data.Dataset:
        keys = tf.data.Dataset.range(2**40).map(lambda n: n % len(contents))
        decoded = keys.map(
            lambda key: tf.shape(tf.io.decode_jpeg(source.load(key)[0], channels=3)),
            tf.data.AUTOTUNE,
        )
        return decoded.batch(batch_size).prefetch(tf.data.AUTOTUNE)

    def views(split: Split, **how: Any) -> Callable[[], tf.data.Dataset]:
        return lambda: split.train_batches(batch_size, resolution, Augmentation(**how), 0)

    ways = {
        "bound: decode whole": bound,
        "view": views(Split(source)),
        "view, unchecked files": views(Split(unchecked)),
        "view, colour": views(Split(source), brightness=0.4, contrast=0.4, saturation=0.4),
        "view, erase": views(Split(source), erase=0.25),
        "view, RandAugment": views(Split(source), randaugment_layers=2),
    }
    return {name: _turn(make(), batch_size, batches) for name, make in ways.items()}


def _turn(endless: "tf.data.Dataset", batch_size: int, batches: int) -> "Turn":
    from mnv3_tf.measuring.throughput import timed

    def turn() -> float:
        stream = iter(endless)
        for _ in islice(stream, WARM_UP):
            pass

        def work() -> None:
            for _ in islice(stream, batches):
                pass

        return timed(work, batch_size * batches)

    return turn
