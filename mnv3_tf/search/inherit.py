"""The weights of a network in another of other widths: what fits is kept, the rest is new.

A tensor's channels are bound to those of others: a depthwise convolution has those of what it
reads, the two sides of an addition have the same. Each set of tensors so bound keeps one choice
of channels: those whose filters are the largest (Yang et al. 2018, section 3.3).
"""

from collections.abc import Sequence

import numpy as np

from mnv3_tf.files import atomic_write
from mnv3_tf.models import build
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import IMAGE, Conv, Convolution, Multiply, Operator
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.settings import InheritSettings
from mnv3_tf.search.starting_point import named_classifier, require_classifier
from mnv3_tf.training.trained import load_run
from mnv3_tf.weights import assign_layers, collect
from mnv3_tf.weights.layer_arrays import LayerArrays, LayerWeights

NEW = -1
"""In a choice of channels: one that the other network does not have."""


def inherit_run(settings: InheritSettings) -> NetworkSpec:
    """Writes the weights of a run for another network, which is returned.

    Raises UserError where either is no classifier.
    """
    parent = load_run(settings.run)
    theirs = require_classifier(parent.spec)
    spec = named_classifier(settings).replace(num_classes=theirs.num_classes)
    model = build(spec)
    assign_layers(model, inherit(spec, collect(model), theirs, collect(parent.model)))
    with atomic_write(settings.out) as temporary:
        model.save_weights(temporary)
    return spec


def inherit(
    spec: NetworkSpec, fresh: LayerWeights, parent: NetworkSpec, weights: LayerWeights
) -> LayerArrays:
    """Weights for `spec`: those of `parent` where it has them, else what `fresh` has.

    Both are {layer: {variable: value}} of whole networks, as `weights.network.collect` gives
    them. Layers are the same where their names are; a kernel of another size is new.
    """
    choice = _Choice(parent, weights)
    theirs = {op.name: op for op in operators(parent)}
    found = {layer: dict(values) for layer, values in fresh.items()}
    for op in operators(spec):
        if not isinstance(op, Convolution) or op.name not in theirs:
            continue
        outputs = choice.of(op.name, op.output[-1])
        inputs = choice.of(theirs[op.name].reads[0], op.input[-1])
        kernel = (inputs, outputs) if isinstance(op, Conv) else (outputs, np.arange(1))
        for layer in (op.name, f"{op.name}_bn"):
            for name, value in weights.get(layer, {}).items():
                axes = kernel if name == "kernel" else (outputs,)
                if name in found.get(layer, {}):
                    found[layer][name] = _kept(value, found[layer][name], axes)
    return found


class _Choice:
    """Which channels of a network's tensors stay."""

    def __init__(self, spec: NetworkSpec, weights: LayerWeights) -> None:
        listed = operators(spec)
        self._set_of = _bound(listed)
        self._norms: dict[str, np.ndarray] = {}
        # The filters of a gate scale channels that others make.
        gates = {op.reads[1] for op in listed if isinstance(op, Multiply)}
        for op in listed:
            if isinstance(op, Conv) and op.name not in gates:
                key, norms = self._set_of[op.name], _filter_norms(op.name, weights, spec)
                self._norms[key] = self._norms[key] + norms if key in self._norms else norms

    def of(self, tensor: str, count: int) -> np.ndarray:
        """The indices of its `count` largest channels in their order, then NEW for what lacks."""
        if tensor == IMAGE:
            return np.arange(3)
        norms = self._norms[self._set_of[tensor]]
        kept = np.sort(np.argsort(-norms, kind="stable")[:count])
        return np.concatenate([kept, np.full(count - len(kept), NEW)])


def _bound(listed: Sequence[Operator]) -> dict[str, str]:
    """For each tensor, the name of the set of tensors to whose channels its own are bound."""
    sets: dict[str, str] = {}

    def find(name: str) -> str:
        while sets.setdefault(name, name) != name:
            name = sets[name]
        return name

    for op in listed:
        if not isinstance(op, Conv):
            for source in op.reads:
                sets[find(op.name)] = find(source)
    return {name: find(name) for op in listed for name in (op.name, *op.reads)}


def _filter_norms(layer: str, weights: LayerWeights, spec: NetworkSpec) -> np.ndarray:
    """The size of each filter of a convolution, BatchNorm's scale included; (out,)."""
    norms = np.sqrt(np.square(weights[layer]["kernel"]).sum((0, 1, 2), dtype=np.float64))
    if normed := weights.get(f"{layer}_bn"):
        scale = normed["gamma"] / np.sqrt(normed["moving_variance"] + spec.batch_norm_epsilon)
        norms = norms * np.abs(scale)
    return norms


def _kept(value: np.ndarray, fresh: np.ndarray, axes: Sequence[np.ndarray]) -> np.ndarray:
    """`fresh` with what it shares with `value`; `axes` choose among the last axes of `value`."""
    around = value.ndim - len(axes)
    if value.shape[:around] != fresh.shape[:around]:
        return fresh
    axes = (*map(np.arange, value.shape[:around]), *axes)
    here = [np.flatnonzero(axis != NEW) for axis in axes]
    taken = [axis[at] for axis, at in zip(axes, here, strict=True)]
    found = fresh.copy()
    found[np.ix_(*here)] = value[np.ix_(*taken)]
    return found
