"""Images a second of a training step: our networks beside those of tf_keras.applications.

Both take the same step (cross-entropy, gradients, momentum) on the same batch, in one process, one
after the other in rounds.

    python -m benchmark train_step --models=large,small --batch_size=32
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import Checked, command, define, read, setting

if TYPE_CHECKING:
    from mnv3_tf.measuring.throughput import Turn

PEERS = {"large": "MobileNetV3Large", "small": "MobileNetV3Small", "v2": "MobileNetV2"}


@dataclass(frozen=True)
class StepSettings(Checked):
    """Whose training steps are timed, and how. Raises UserError for values out of range."""

    models: tuple[str, ...] = setting(
        ("large", "small"), f"Of {', '.join(PEERS)}.", choices=tuple(PEERS)
    )
    resolution: int = setting(224, "Side of the input.", least=32)
    batch_size: int = setting(32, "Pictures in a step.", least=1)
    steps: int = setting(2, "Steps in a turn.", least=1)
    rounds: int = setting(10, "How often each takes a turn.", least=5)
    jit_compile: bool = setting(False, "Compile the steps with XLA.")


def define_flags(values: flags.FlagValues) -> None:
    define(values, StepSettings)
    flags.DEFINE_string("out", None, "Folder for results.json.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = read(args, StepSettings)
    cli.import_tensorflow(args)
    from mnv3_tf.measuring import throughput

    rows: list[throughput.Pace] = []
    for name in settings.models:
        rows += throughput.compare(
            turns(
                name,
                settings.resolution,
                settings.batch_size,
                settings.steps,
                settings.jit_compile,
            ),
            settings.rounds,
        )
    how = f"batches of {settings.batch_size} at {settings.resolution}"
    title = f"Training step, {how}; speed: by Keras'"
    results = throughput.report(title, command("benchmark train_step", settings), rows)
    if args.out:
        throughput.write(results, args.out)
    if args.json:
        print(json.dumps(results))


def turns(
    name: str, resolution: int, batch_size: int, steps: int, jit_compile: bool = False
) -> dict[str, "Turn"]:
    """What `throughput.compare` takes: Keras' network, then ours."""
    import tf_keras

    from mnv3_tf import create_model

    more = {} if name == "v2" else {"include_preprocessing": False, "dropout_rate": 0.0}
    theirs = getattr(tf_keras.applications, PEERS[name])(
        input_shape=(resolution, resolution, 3), weights=None, classifier_activation=None, **more
    )
    ours = create_model(name, resolution=resolution)
    return {
        f"tf_keras {PEERS[name]}": _turn(theirs, resolution, batch_size, steps, jit_compile),
        f"mnv3_tf {name}": _turn(ours, resolution, batch_size, steps, jit_compile),
    }


def _turn(model: Any, resolution: int, batch_size: int, steps: int, jit_compile: bool) -> "Turn":
    import tensorflow as tf
    import tf_keras

    from mnv3_tf.measuring.throughput import timed
    from mnv3_tf.models.random_networks import noise_pictures

    optimizer = tf_keras.optimizers.SGD(1e-3, momentum=0.9)
    images = tf.constant(noise_pictures(resolution, batch_size))
    labels = tf.random.stateless_uniform((batch_size,), (0, 0), 0, 1000, tf.int32)

    @tf.function(jit_compile=jit_compile)
    def step() -> Any:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    optimizer.build(model.trainable_variables)

    def work() -> None:
        for _ in range(steps):
            float(step())

    return lambda: timed(work, batch_size * steps)
