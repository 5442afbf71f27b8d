"""Images a second of a training step: our networks beside those of tf_keras.applications.

Both take the same step (cross-entropy, gradients, momentum) on the same batch, in one process, one
after the other in rounds.

    python -m benchmark train_step --models=large,small --batch_size=32
"""

import json
import shlex
from typing import TYPE_CHECKING, Any

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.ui import cli

if TYPE_CHECKING:
    from mnv3_tf.measuring.throughput import Turn

PEERS = {"large": "MobileNetV3Large", "small": "MobileNetV3Small", "v2": "MobileNetV2"}


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("models", ["large", "small"], f"Of {', '.join(PEERS)}.", flag_values=values)
    flags.DEFINE_integer("resolution", 224, "Side of the input.", 32, flag_values=values)
    flags.DEFINE_integer("batch_size", 32, "Pictures in a step.", 1, flag_values=values)
    flags.DEFINE_integer("steps", 2, "Steps in a turn.", 1, flag_values=values)
    flags.DEFINE_integer("rounds", 10, "How often each takes a turn.", 5, flag_values=values)
    flags.DEFINE_bool("jit_compile", False, "Compile the steps with XLA.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for results.json.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    for name in args.models:
        if name not in PEERS:
            raise UserError(f"tf_keras.applications has no {name!r}; choose of {', '.join(PEERS)}.")
    cli.import_tensorflow(args)
    from mnv3_tf.measuring import throughput

    names = ("resolution", "batch_size", "steps", "rounds", "jit_compile")
    words = [f"--{name}={args[name].value}" for name in names]
    command = shlex.join(
        ["python", "-m", "benchmark", "train_step", f"--models={','.join(args.models)}", *words]
    )
    rows: list[dict[str, Any]] = []
    for name in args.models:
        rows += throughput.compare(
            turns(name, args.resolution, args.batch_size, args.steps, args.jit_compile),
            args.rounds,
        )
    title = f"Training step, batches of {args.batch_size} at {args.resolution}; speed: by Keras'"
    results = throughput.report(title, command, rows)
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
