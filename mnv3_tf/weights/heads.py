"""The layers from pooled features to classes, under whatever names a file has them.

A network has a place for one hidden layer at most, of an activation of its own, and for the logits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mnv3_tf.networks.activations import OF_BLOCKS
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights.keras_config import KerasModel, Layer
from mnv3_tf.weights.layer_arrays import LayerArrays
from mnv3_tf.weights.names import convolutions

HIDDEN, LOGITS = "conv_2", "logits"
BACKGROUND = 1001
"""Outputs of the ImageNet networks of Google whose first class is "background"."""

NO_HIDDEN = "its head has no hidden layer"

_POOLING = ("GlobalAveragePooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D")
_HARMLESS = (*_POOLING[:2], "Flatten", "Reshape", "Dropout", "Dense", "InputLayer")
_ACTIVATIONS = ("Activation", "ReLU", "Softmax")
_OUR_NAMES = {"silu": "swish", "hard_silu": "hard_swish"}
"""Of activations that Keras 3 calls otherwise."""


@dataclass(frozen=True)
class Dense:
    """A layer of a file: kernel (1, 1, in, out) and bias (out,)."""

    name: str
    kernel: np.ndarray
    bias: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {"kernel": self.kernel, "bias": self.bias}


@dataclass(frozen=True)
class Head:
    """What a file has of "conv_2" and "logits", and the spec that has a place for them.

    `used` are names of layers that they came from, or that are of no use. `why_fresh` says why the
    file's logits are not there; None too where it has none.
    """

    spec: NetworkSpec
    layers: LayerArrays = field(default_factory=dict)
    used: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    why_fresh: str | None = None


def find(
    spec: NetworkSpec,
    found: LayerArrays,
    unread: Sequence[Dense],
    model: KerasModel | None,
    has_background: bool,
) -> Head:
    """The head of what was `found` under the library's names and of what is `unread`.

    `model` is what a Keras model says of itself. With `has_background` class 0 of 1001 needs no
    note.
    """
    named = {name: found[name] for name in (HIDDEN, LOGITS) if name in found}
    if LOGITS in named and (HIDDEN in named or not spec.hidden):
        head = Head(spec, named)
    else:
        if "kernel" in named.get(LOGITS, {}):
            unread = [Dense(LOGITS, **{"bias": _zeros(named[LOGITS]), **named[LOGITS]}), *unread]
        head = _renamed(spec, found, unread, model)
    if "kernel" not in head.layers.get(LOGITS, {}):
        return head
    logits, note = _of_classes(head.layers[LOGITS], spec.num_classes)
    why_fresh = _strange(model) or (note if logits is None else None)
    if why_fresh or logits is None:
        kept = {k: v for k, v in head.layers.items() if k in named and k != LOGITS}
        return Head(spec, kept, head.used, why_fresh=why_fresh)
    notes: tuple[str, ...] = () if note is None or has_background else (note,)
    if _activations(model)[-1:] == ["sigmoid"] and spec.num_classes > 2:
        notes += ("its classes are sigmoids, each for itself; here one softmax is over all",)
    return replace(head, layers=head.layers | {LOGITS: logits}, notes=(*head.notes, *notes))


def _renamed(
    spec: NetworkSpec, found: LayerArrays, unread: Sequence[Dense], model: KerasModel | None
) -> Head:
    """A head under names that are not the library's."""
    body = [conv.name for conv in convolutions(spec) if conv.role not in ("hidden", "logits")]
    named = {HIDDEN: found[HIDDEN]} if HIDDEN in found else {}
    last = HIDDEN if named else body[-1]
    kernel = found.get(last, {}).get("kernel")
    if kernel is None or kernel.ndim != 4:
        return Head(spec, named)
    features = kernel.shape[3]
    if named and features != spec.hidden and not unread and "bias" in found[HIDDEN]:
        # torchvision's classifier.0, where the classifier was replaced by a single layer.
        return Head(_without_hidden(spec), {LOGITS: found[HIDDEN]}, notes=(NO_HIDDEN,))
    chain, used = _chain(unread, features), tuple(layer.name for layer in unread)
    if others := [layer for layer in unread if layer not in chain]:
        reads = others[0].kernel.shape[2]
        if reads == features:
            why = f"it has several heads ({chain[0].name}, {others[0].name})"
        else:
            why = f"{others[0].name} reads {reads} values, and what is pooled has {features}"
        return Head(spec, named, used, why_fresh=why)
    match chain:
        case []:
            return Head(spec, named)
        case [logits]:
            layers = named | {LOGITS: logits.arrays}
            if named or not spec.hidden:
                return Head(spec, layers, used)
            return Head(_without_hidden(spec), layers, used, (NO_HIDDEN,))
        case [hidden, logits] if not named:
            return _with_hidden(spec, hidden, logits, _activations(model))
    return Head(spec, named, used, why_fresh=f"its head has too many layers ({', '.join(used)})")


def _chain(layers: Sequence[Dense], features: int) -> list[Dense]:
    """The layers of which each reads what the one before gives, in their order in the file."""
    chain, left = [], list(layers)
    while fitting := [layer for layer in left if layer.kernel.shape[2] == features]:
        chain.append(fitting[0])
        left.remove(fitting[0])
        features = fitting[0].kernel.shape[3]
    return chain


def _without_hidden(spec: NetworkSpec) -> NetworkSpec:
    return spec.replace(hidden=0, hidden_batch_norm=False, hidden_activation=None)


def _with_hidden(
    spec: NetworkSpec, hidden: Dense, logits: Dense, activations: Sequence[str]
) -> Head:
    used, why = (hidden.name, logits.name), ""
    if len(activations) != 2:
        why = f"no activation of {hidden.name} is in the file (a model that is saved whole has it)"
    elif activations[0] not in OF_BLOCKS:
        known = ", ".join(OF_BLOCKS)
        why = f"{hidden.name} has the activation {activations[0]}, none of {known}"
    if why:
        return Head(spec, {}, used, why_fresh=why)
    own = None if activations[0] == spec.last_activation else activations[0]
    width = hidden.kernel.shape[3]
    spec = spec.replace(hidden=width, hidden_batch_norm=False, hidden_activation=own)
    layers = {HIDDEN: hidden.arrays, LOGITS: logits.arrays}
    return Head(spec, layers, used, (f"its head has a hidden layer of {width}, {activations[0]}",))


# -- what a Keras model says -----------------------------------------------------------------


def _strange(model: KerasModel | None) -> str | None:
    """What the head has that has no place in a network."""
    for layer in _after_pooling(model):
        if layer.kind not in (*_HARMLESS, *_ACTIVATIONS):
            return f"its head has {layer.name} ({layer.kind}), for which there is no place"
    return None


def _activations(model: KerasModel | None) -> list[str]:
    """Of each Dense layer, within it or as a layer that follows."""
    found: list[str] = []
    for layer in _after_pooling(model):
        if layer.kind == "Dense":
            found.append(_activation(layer))
        elif layer.kind in _ACTIVATIONS and found and found[-1] == "linear":
            found[-1] = _activation(layer)
    return found


def _activation(layer: Layer) -> str:
    if layer.kind == "ReLU":
        plain = not layer.settings.get("negative_slope") and not layer.settings.get("threshold")
        highest = layer.settings.get("max_value")
        return {None: "relu", 6: "relu6"}.get(highest, "another ReLU") if plain else "another ReLU"
    name = str(layer.settings.get("activation", layer.kind.lower()))
    return _OUR_NAMES.get(name, name)


def _after_pooling(model: KerasModel | None) -> Sequence[Layer]:
    layers = model.after if model else ()
    kinds = [layer.kind for layer in layers]
    starts = [kinds.index(kind) for kind in (*_POOLING, "Flatten", "Dense") if kind in kinds]
    return layers[min(starts) :] if starts else ()


def _zeros(layer: Mapping[str, np.ndarray]) -> np.ndarray:
    """The bias of a layer that has none."""
    return np.zeros(layer["kernel"].shape[-1], np.float32)


# -- classes ---------------------------------------------------------------------------------


def _of_classes(
    logits: dict[str, np.ndarray], wanted: int
) -> tuple[dict[str, np.ndarray] | None, str | None]:
    """The logits for so many classes, and a note; or None, and why there are none."""
    kernel = logits["kernel"]
    classes = kernel.shape[-1]
    bias = logits.get("bias", _zeros(logits))
    if classes == wanted:
        return {"kernel": kernel, "bias": bias}, None
    if classes == BACKGROUND and wanted == BACKGROUND - 1:
        note = f"class 0 of {classes} was taken for the background, and left out"
        return {"kernel": kernel[..., 1:], "bias": bias[1:]}, note
    if classes == 1 and wanted == 2:
        # The softmax of (0, z) is what the sigmoid of z says.
        note = "its single output was taken for the logit of class 1, against class 0"
        both = {"kernel": kernel, "bias": bias}
        return {k: np.concatenate([np.zeros_like(v), v], -1) for k, v in both.items()}, note
    return None, f"the head has {classes} classes, not {wanted}"
