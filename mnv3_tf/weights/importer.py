"""From a weights file to our layers: names mapped, kernels transposed, shapes checked.

Libraries round widths differently, pad differently and have other epsilons. What the spec can
say, it is made to say, and a note tells; anything else is another architecture, and an error.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.networks.pixels import InputRange
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights import folded, heads, imagenet, preprocessing
from mnv3_tf.weights.formats import file_of, read_foreign
from mnv3_tf.weights.heads import Dense
from mnv3_tf.weights.layer_arrays import LayerArrays
from mnv3_tf.weights.names import (
    FOLDED,
    LIBRARIES,
    NORM,
    TIMM_TF,
    ConvNames,
    Library,
    TensorNames,
    convolutions,
)
from mnv3_tf.weights.preprocessing import Usual

HEAD = (heads.HIDDEN, heads.LOGITS)


@dataclass(frozen=True)
class Weights:
    """Weights of a network, in float32 and Keras' layout.

    `spec` is the network that they are for, which may differ from the one asked for: the notes
    say how. `layers` has all its layers, but for a head that the file lacks or that does not fit:
    then `why_fresh` says why, None where there is none. `source` is a key of
    `mnv3_tf.weights.names.LIBRARIES`, or "imagenet".
    """

    spec: NetworkSpec
    layers: LayerArrays
    source: str
    notes: tuple[str, ...] = ()
    why_fresh: str | None = None


def read(source: str, spec: NetworkSpec, input_range: InputRange | None = None) -> Weights:
    """The weights of `source`, "imagenet" or a file or run folder, for the network `spec`.

    `input_range` is what they take pixels as, where neither the file nor its library says so. What
    had to be adapted is told on standard error, one line each.

    Raises UserError for a file that cannot be read, or that has another architecture's weights.
    """
    path = imagenet.download(spec) if source == "imagenet" else file_of(source)
    foreign = read_foreign(path)
    library, arrays = LIBRARIES[foreign.library], dict(foreign.arrays)
    notes = [*foreign.notes]

    spec, told = _with_library_conventions(spec, library)
    notes += told
    if foreign.library == FOLDED:
        arrays = folded.unfold(arrays, convolutions(spec), spec.batch_norm_epsilon)
    asked = library.tensors(spec, arrays)
    depthwise = {conv.name for conv in convolutions(spec) if conv.depthwise}
    found, unread = _under_our_names(asked, depthwise, library, arrays)
    dense = _dense_layers(unread | foreign.beside, library)
    head = heads.find(spec, found, dense, foreign.model, library.background)
    found = {k: v for k, v in found.items() if k not in HEAD} | head.layers
    spec, told = _with_widths_of(found, head.spec)
    notes += told
    of_head = {name for layer in head.used for name in _variables(layer, library)}
    if head.why_fresh and foreign.model:
        of_head |= {name for name, array in unread.items() if array.ndim < 3}
    left = [name for name in unread if name not in of_head]
    names = library.tensors(spec, arrays)
    if difference := _first_difference(spec, names, found, left):
        raise UserError(
            f"{path} holds {library.title} weights of another architecture: {difference}; "
            "give the model and width that the weights were trained with."
        )
    by_others = head.used or (foreign.model and not foreign.model.is_ours)
    certain = source == "imagenet" or (library.is_certain and not by_others)
    usual = Usual(library.pixels, spec.stem.zero, certain)
    pixels = foreign.preprocessing.pixels(path, usual, input_range)
    spec, found = preprocessing.fold(spec, found, pixels)
    _require_numbers(path, found)
    notes += [*head.notes, *_fresh(spec, found, head.why_fresh), *filter(None, [pixels.note])]
    for note in notes:
        print(f"{path}: {note}.", file=sys.stderr)
    kind = "imagenet" if source == "imagenet" else foreign.library
    return Weights(spec, found, kind, tuple(notes), head.why_fresh)


def _with_library_conventions(spec: NetworkSpec, library: Library) -> tuple[NetworkSpec, list[str]]:
    padding = library.padding or spec.padding
    epsilon = library.batch_norm_epsilon or spec.batch_norm_epsilon
    if (padding, epsilon) == (spec.padding, spec.batch_norm_epsilon):
        return spec, []
    note = f"{library.title} weights, so padding is {padding} and the BatchNorm epsilon {epsilon:g}"
    if library is LIBRARIES["timm"]:
        note += (
            f"; a tf_ variant (same, {LIBRARIES[TIMM_TF].batch_norm_epsilon:g}) is known only by "
            "the architecture named in the file's metadata or in the config.json beside it"
        )
    return spec.replace(padding=padding, batch_norm_epsilon=epsilon), [note]


def _under_our_names(
    names: TensorNames, depthwise: Collection[str], library: Library, arrays: dict[str, np.ndarray]
) -> tuple[LayerArrays, dict[str, np.ndarray]]:
    """What the file has of the network's layers, and what in it belongs to none."""
    found: LayerArrays = {}
    unread = dict(arrays)
    for layer, variables in names.items():
        for variable, name in variables.items():
            if name in arrays:
                unread.pop(name, None)
                value = np.asarray(arrays[name], np.float32)
                if variable == "kernel":
                    value = _to_keras_layout(value, library.layout, layer in depthwise)
                found.setdefault(layer, {})[variable] = np.ascontiguousarray(value)
    return found, unread


def _dense_layers(unread: Mapping[str, np.ndarray], library: Library) -> list[Dense]:
    """The layers among these that could be of a head, in the order of the file."""
    layers = []
    for name, array in unread.items():
        layer, _, variable = name.rpartition(library.separator)
        if variable == library.variables[0] and array.ndim == 2:
            kernel = _to_keras_layout(np.asarray(array, np.float32), library.layout, False)
            zeros = np.zeros(kernel.shape[3], np.float32)
            bias = np.asarray(unread.get(_variables(layer, library)[1], zeros), np.float32)
            if bias.shape == zeros.shape:
                layers.append(Dense(layer, kernel, bias))
    return layers


def _variables(layer: str, library: Library) -> list[str]:
    """What kernel and bias of a layer are called."""
    return [f"{layer}{library.separator}{variable}" for variable in library.variables[:2]]


def _to_keras_layout(kernel: np.ndarray, layout: str, depthwise: bool) -> np.ndarray:
    """(k, k, in, out), or (k, k, channels, 1); a dense kernel becomes a 1x1 convolution's."""
    if kernel.ndim == 2:
        return (kernel.T if layout == "torch" else kernel)[None, None]
    if layout == "torch" and kernel.ndim == 4:
        return kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return kernel


def _with_widths_of(found: LayerArrays, spec: NetworkSpec) -> tuple[NetworkSpec, list[str]]:
    """The spec with those widths of the file that libraries round or scale each in their way.

    These are the stem, expansions, squeeze-excite bottlenecks, the last convolution and the
    hidden layer: timm and Keras leave the stem at 16, torchvision scales expansions and the
    hidden layer by the multiplier. Bottlenecks and kernel sizes are the same everywhere, and
    differ only where the architecture does.
    """
    changes: list[str] = []

    def width(conv: ConvNames) -> int:
        shape = found.get(conv.name, {}).get("kernel", np.empty(0)).shape
        wanted = conv.outputs if len(shape) != 4 else shape[3]
        if wanted != conv.outputs:
            changes.append(f"{conv.name} {wanted} (not {conv.outputs})")
        return wanted

    adapted = spec
    for conv in convolutions(spec):
        match conv.role:
            case "stem":
                adapted = adapted.with_stem(width(conv))
            case "expand":
                adapted = adapted.with_block(conv.block, expansion=width(conv))
            case "last_conv":
                adapted = adapted.replace(last_conv=width(conv))
            case "hidden":
                adapted = adapted.replace(hidden=width(conv))
    for conv in convolutions(adapted):
        if conv.role == "squeeze" and (squeeze := width(conv)) != conv.outputs:
            adapted = _with_squeeze_width(adapted, conv.block, squeeze)
    layers, asked = convolutions(adapted), convolutions(spec)
    if not changes or [conv.name for conv in layers] != [conv.name for conv in asked]:
        return spec, []  # widths that add or remove a layer are no matter of rounding
    listed = ", ".join(changes[:3]) + (f" and {len(changes) - 3} more" if changes[3:] else "")
    return adapted, [f"widths as in the file: {listed}"]


def _with_squeeze_width(spec: NetworkSpec, index: int, width: int) -> NetworkSpec:
    """One squeeze-excite bottleneck of exactly `width`, the others as they were."""
    widths = [placed.squeeze_width for placed in spec.placed_blocks()]
    widths[index] = width
    spec = spec.replace(squeeze_divisor=1)
    for i, block in enumerate(spec.blocks):
        if widths[i]:
            spec = spec.with_block(i, squeeze=min(1.0, widths[i] / block.widest))
    return spec


def _first_difference(
    spec: NetworkSpec, names: TensorNames, found: LayerArrays, unread: Sequence[str]
) -> str | None:
    """What is missing, too many, or of another shape; the logits may have any number of classes."""
    for conv in convolutions(spec):
        if conv.name in HEAD and conv.name not in found and "logits" not in found:
            continue
        outputs, kernel = conv.outputs, conv.kernel
        if conv.role == "logits" and "kernel" in found["logits"]:
            outputs = found["logits"]["kernel"].shape[-1]
            kernel = (*kernel[:3], outputs)
        wanted: dict[str, dict[str, tuple[int, ...]]] = {conv.name: {"kernel": kernel}}
        if conv.batch_norm:
            wanted[f"{conv.name}_bn"] = dict.fromkeys(NORM, (outputs,))
        else:
            wanted[conv.name]["bias"] = (outputs,)
        for layer, shapes in wanted.items():
            for variable, shape in shapes.items():
                name, value = names[layer][variable], found.get(layer, {}).get(variable)
                ours = f"{variable} of {layer} in {spec.name}"
                if value is None:
                    return f"{name} is missing, {ours} of shape {shape}"
                if value.shape != shape:
                    return f"{name} has shape {value.shape}, {ours} has {shape}"
    return f"{spec.name} has no place for {unread[0]}" if unread else None


def _require_numbers(path: object, found: LayerArrays) -> None:
    for layer, variables in found.items():
        for variable, value in variables.items():
            if not np.isfinite(value).all():
                raise UserError(
                    f"{path} holds what is no finite number ({variable} of {layer}), as a training "
                    "leaves that diverged, or damage; give weights from before, or train again."
                )


def _fresh(spec: NetworkSpec, found: LayerArrays, why: str | None) -> list[str]:
    """Which layers of the head are not the file's."""
    if why:
        return [f"{why}, so a fresh one is used"]
    missing = [layer for layer in HEAD if layer not in found]
    missing = [layer for layer in missing if layer != heads.HIDDEN or spec.hidden]
    return [f"{' and '.join(missing)} not in the file, so fresh"] if missing else []
