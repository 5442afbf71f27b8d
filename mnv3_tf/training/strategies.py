"""From one core to many machines: tf.distribute's strategies, by name."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tf_keras

from mnv3_tf.data.streaming import ALONE, Host
from mnv3_tf.errors import UserError

Strategy = Any  # tf.distribute.Strategy, of which mypy knows nothing


def make(name: str) -> Strategy:
    """The strategy of that name ("auto", "one", "mirrored", "multi_worker" or "tpu").

    "auto" is the largest that this machine and its environment ask for: a TPU where TPU_NAME is
    set, several workers where TF_CONFIG names them, all GPUs where there are several, else one
    device. "multi_worker" must be made before anything else of TensorFlow runs: it starts the
    server that TF_CONFIG describes.

    Raises:
      UserError: no TPU to connect to, or a TF_CONFIG that does not name this worker.
    """
    if name == "auto":
        name = _automatic()
    match name:
        case "one":
            return tf.distribute.get_strategy()
        case "mirrored":
            return tf.distribute.MirroredStrategy()
        case "multi_worker":
            _require_cluster()
            return tf.distribute.MultiWorkerMirroredStrategy()
        case "tpu":
            try:
                resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
            except (ValueError, RuntimeError, tf.errors.OpError) as error:
                raise UserError(
                    f"--strategy=tpu found no TPU ({str(error).splitlines()[0]}); set TPU_NAME, "
                    "or use another --strategy."
                ) from None
            return tf.distribute.TPUStrategy(resolver)
    raise ValueError(f"Unknown strategy {name!r}")


def is_chief(strategy: Strategy) -> bool:
    """Whether this process writes what all workers have in common: the first does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().jobs:
        return True
    if resolver.task_type is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def workers(strategy: Strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return 1
    cluster = resolver.cluster_spec()
    return max(1, sum(cluster.num_tasks(job) for job in cluster.jobs))


def meet(strategy: Strategy) -> None:
    """Returns when all workers have come here."""

    @tf.function
    def count() -> Any:
        ones = strategy.run(lambda: tf.ones(()))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, ones, axis=None)

    float(count())


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are made meanwhile compute in that precision.

    "bfloat16" keeps the weights in float32 and computes in bfloat16, whose range needs no loss
    scaling; "auto" takes it where the hardware has it (TPU, NVIDIA from compute capability 8.0).
    """
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16() else "float32"
    before = tf_keras.mixed_precision.global_policy()
    if precision == "bfloat16":
        tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def with_synchronised_batch_norm(model: tf_keras.Model) -> tf_keras.Model:
    """A copy whose BatchNorm takes the statistics of a batch over all replicas."""

    def copy(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            config["synchronized"] = True
        return type(layer).from_config(config)

    synchronised = tf_keras.models.clone_model(model, clone_function=copy)
    synchronised.set_weights(model.get_weights())
    return synchronised


def has_gpu() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))


def distributed(
    strategy: Strategy, of_host: Callable[[Host], tf.data.Dataset], batch_size: int
) -> Any:
    """Batches of `batch_size` pictures over all replicas, as `strategy.run` takes them.

    `of_host` makes the dataset of a host: its part of each batch.

    Raises:
      UserError: the batch cannot be divided evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return of_host(ALONE)
    if batch_size % replicas:
        raise UserError(
            f"A batch of {batch_size} pictures cannot be divided among {replicas} devices; give a "
            f"--batch_size that is a multiple of {replicas}."
        )

    def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        part = of_host(Host(context.input_pipeline_id, context.num_input_pipelines))
        return part.rebatch(batch_size // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(batches)


def filled(batches: tf.data.Dataset, batch_size: int, steps: int, blank: Any) -> tf.data.Dataset:
    """(images, targets) made up to `steps` full batches by blank pictures.

    `blank` has the value of a blank picture's target, or of each part of it.
    """

    def fill(images: Any, targets: Any) -> tuple[Any, Any]:
        missing = batch_size - tf.shape(images)[0]

        def pad(part: Any, value: Any) -> Any:
            sides = ((0, missing), *((0, 0) for _ in part.shape[1:]))
            padded = tf.pad(part, sides, constant_values=tf.cast(value, part.dtype))
            return tf.ensure_shape(padded, (batch_size, *part.shape[1:]))

        return pad(images, 0), tf.nest.map_structure(pad, targets, blank)

    full = batches.map(fill)

    def blanks(part: Any, value: Any) -> Any:
        return tf.fill(part.shape, tf.cast(value, part.dtype))

    images, targets = full.element_spec
    none = (blanks(images, 0), tf.nest.map_structure(blanks, targets, blank))
    return full.concatenate(tf.data.Dataset.from_tensors(none).repeat(steps)).take(steps)


def _has_bfloat16() -> bool:
    if tf.config.list_logical_devices("TPU"):
        return True
    gpus = tf.config.list_physical_devices("GPU")
    found = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(found) and all(gpu.get("compute_capability", (0,))[0] >= 8 for gpu in found)


def _automatic() -> str:
    if os.environ.get("TPU_NAME"):
        return "tpu"
    if len(_addresses()) > 1:
        return "multi_worker"
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one"


def _addresses() -> list[str]:
    """The addresses in TF_CONFIG's cluster that train."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        return [*cluster.get("chief", []), *cluster.get("worker", [])]
    except (ValueError, AttributeError, TypeError):
        raise UserError(
            f"TF_CONFIG={os.environ['TF_CONFIG']!r} is no JSON object with a cluster; correct or "
            "unset it."
        ) from None


def _require_cluster() -> None:
    if not _addresses():
        raise UserError(
            "--strategy=multi_worker needs the addresses of the workers in TF_CONFIG; set it on "
            "each of them, or use another --strategy."
        )
    task = json.loads(os.environ["TF_CONFIG"]).get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise UserError(
            'TF_CONFIG has no task; add "task": {"type": "worker", "index": N}, with a number of '
            "its own on each worker."
        )
    cluster = json.loads(os.environ["TF_CONFIG"])["cluster"]
    kind, index = task["type"], task["index"]
    if index not in range(len(cluster.get(kind, []))):
        raise UserError(
            f"TF_CONFIG says that this is {kind} {index!r}, but its cluster has "
            f"{len(cluster.get(kind, []))} of that type; number them from 0."
        )
