"""A fake-quantised network tuned until it answers as the float one does.

Rounding and clipping shift the mean of every channel a little, and the shifts add up over the
layers. The float network teaches the quantised one on any photographs, without labels: the
Kullback-Leibler divergence between their answers goes down, and so do the squared errors of the
bottlenecks. Post-training quantisation moves the biases alone, for seconds; quantisation-aware
training moves kernels and ranges too.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.networks.cost import operators
from mnv3_tf.quantization.distributions import Classes, Distribution
from mnv3_tf.quantization.scheme import Range, as_stored, kernel_of, range_layer, variables_of
from mnv3_tf.tasks.specs import Spec, for_phones

FEATURES = ("project", "residual", "pool")  # roles of operators whose outputs are compared
FEATURE_WEIGHT = 0.3


@dataclass(frozen=True)
class Rates:
    """Step sizes of Adam, as parts of what suits each variable; 0 leaves a kind alone.

    `bias` is of the int8 range of the layer's output, `kernel` of the root mean square of an
    output channel's kernel (folded kernels span 0.1 to 100), `range` of a range's width.
    """

    bias: float
    kernel: float = 0.0
    range: float = 0.0


@dataclass(frozen=True)
class _Tuned:
    """A variable, and the size of one step in it."""

    variable: Any
    step: Any
    is_low_limit: bool = False


class Distiller(tf.Module):
    """Trains `quantized`, which `scheme.fake_quantized` made of `lowered` and `ranges`, in place.

    Rates fall along half a cosine over `steps`. `step_number` counts the steps done; a
    tf.train.Checkpoint of the distiller holds all that training goes on from.
    """

    def __init__(
        self,
        quantized: tf_keras.Model,
        lowered: tf_keras.Model,
        ranges: Mapping[str, Range],
        rates: Rates,
        steps: int,
        features: Collection[str],
        answer: Distribution | None = None,
    ) -> None:
        """`features` are the layers whose outputs are compared. `answer` says what the networks
        give, a classifier's logits if None.
        """
        super().__init__()
        self._answer = answer or Classes()
        self.quantized = quantized
        self._tuned = list(_tuned_variables(quantized, lowered, ranges, rates))
        self.first = [tf.Variable(tuned.variable, trainable=False) for tuned in self._tuned]
        # Every variable is its first value plus a shift, counted in steps of its own size, so
        # that one optimiser suits them all.
        self.shifts = [tf.Variable(tf.zeros_like(tuned.variable)) for tuned in self._tuned]
        schedule = tf_keras.optimizers.schedules.CosineDecay(1.0, max(steps, 1))
        self.optimizer = tf_keras.optimizers.Adam(schedule, epsilon=1e-12, jit_compile=False)
        self.optimizer.build(self.shifts)
        self.step_number = tf.Variable(0, dtype=tf.int64, trainable=False)
        names = [layer.name for layer in lowered.layers if layer.name in features]
        self._teacher = _with_features(lowered, names)
        self._student = _with_features(quantized, [f"quant_{name}" for name in names])

    @tf.function(autograph=False)
    def step(self, images: Any) -> Any:
        """One step on (N, H, W, 3) in [-1, 1]; returns the divergence before it, in nats."""
        expected, answer = self._teacher(images, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([tuned.variable for tuned in self._tuned])
            features, given = self._student(as_stored(images), training=True)
            divergence = tf.reduce_mean(self._answer.divergence(answer, given))
            loss = divergence + FEATURE_WEIGHT * _feature_error(expected, features)
        gradients = tape.gradient(
            loss, [tuned.variable for tuned in self._tuned], unconnected_gradients="zero"
        )
        scaled = [g * tuned.step for g, tuned in zip(gradients, self._tuned, strict=True)]
        self.optimizer.apply_gradients(zip(scaled, self.shifts, strict=True))
        for tuned, first, shift in zip(self._tuned, self.first, self.shifts, strict=True):
            value = first + tuned.step * shift
            tuned.variable.assign(tf.minimum(value, 0.0) if tuned.is_low_limit else value)
        self.step_number.assign_add(1)
        return divergence

    def put_back(self) -> None:
        """Undoes all steps."""
        for tuned, first in zip(self._tuned, self.first, strict=True):
            tuned.variable.assign(first)


def features_of(spec: Spec) -> list[str]:
    """The layers of the lowered network whose outputs are compared."""
    return [op.name for op in operators(for_phones(spec)) if op.role in FEATURES]


def divergence_from(
    lowered: tf_keras.Model,
    quantized: tf_keras.Model,
    answer: Distribution | None = None,
    batch: int = 16,
) -> Callable[[np.ndarray], float]:
    """From pictures (N, H, W, 3) in [-1, 1] to the mean divergence of `quantized`, in nats."""

    @tf.function(reduce_retracing=True, autograph=False)
    def divergence(pictures: Any) -> Any:
        expected = lowered(pictures, training=False)
        given = quantized(as_stored(pictures), training=False)
        return (answer or Classes()).divergence(expected, given)

    def mean(images: np.ndarray) -> float:
        starts = range(0, len(images), batch)
        parts = [divergence(tf.constant(images[i : i + batch])) for i in starts]
        return float(np.mean(np.concatenate(parts)))

    return mean


def _feature_error(expected: list[Any], features: list[Any]) -> Any:
    """Mean over the features of the squared error as a part of the feature's variance."""
    errors = [
        tf.reduce_mean(tf.square(e - f)) / (tf.math.reduce_variance(e) + 1e-9)
        for e, f in zip(expected, features, strict=True)
    ]
    return tf.add_n(errors) / len(errors) if errors else 0.0


def _with_features(model: tf_keras.Model, names: list[str]) -> tf_keras.Model:
    """A model that gives the outputs of those layers and what `model` gives."""
    return tf_keras.Model(
        model.inputs, [[model.get_layer(name).output for name in names], model.output]
    )


def _tuned_variables(
    quantized: tf_keras.Model,
    lowered: tf_keras.Model,
    ranges: Mapping[str, Range],
    rates: Rates,
) -> Any:
    for wrapper in quantized.layers:
        if not hasattr(wrapper, "layer"):
            continue
        layer = wrapper.layer
        variables = variables_of(wrapper)
        if kernel_name := kernel_of(layer):
            low, high = ranges[range_layer(lowered.get_layer(layer.name)).name]
            yield _Tuned(variables["bias"], rates.bias * (high - low))
            if rates.kernel:
                kernel = variables[kernel_name]
                axes = (0, 1, 3) if kernel_name == "depthwise_kernel" else (0, 1, 2)
                size = np.sqrt(np.mean(np.square(kernel.numpy()), axes, keepdims=True))
                yield _Tuned(kernel, rates.kernel * size)
        # A picture's range is what a picture can hold.
        if rates.range and layer.name in ranges and layer.name != "input":
            low, high = ranges[layer.name]
            for end in ("output_low", "output_high"):
                if end in variables and float(variables[end]) != 0:
                    step = rates.range * (high - low)
                    yield _Tuned(variables[end], step, is_low_limit=end == "output_low")
