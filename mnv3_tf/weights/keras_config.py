"""What a Keras model that was saved whole says of its layers. Nothing of it is ever executed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")


@dataclass(frozen=True)
class Layer:
    """A layer or an operation: its class, its name, its settings, and the numbers it is given."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    numbers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class KerasModel:
    """The layers that pictures pass before the first convolution, and what follows the last.

    `is_ours`: it has layers of this project.
    """

    before: tuple[Layer, ...]
    after: tuple[Layer, ...]
    is_ours: bool = False


def describe(config: Any) -> KerasModel | None:
    """Of the configuration that Keras wrote; None where it lists no convolution."""
    layers = list(_layers(config))
    at = [i for i, layer in enumerate(layers) if layer.kind in CONVOLUTIONS]
    if not at:
        return None
    is_ours = any(layer.kind.startswith("mnv3_tf>") for layer in layers)
    return KerasModel(tuple(layers[: at[0]]), tuple(layers[at[-1] + 1 :]), is_ours)


def _layers(node: Any) -> Iterator[Layer]:
    """In the order in which they run, those of models within the model in its place."""
    settings = node["config"]
    # Of a Sequential, Keras before 2.3 wrote the list alone.
    inside = settings if isinstance(settings, list) else settings.get("layers")
    if inside is None:
        numbers = tuple(_numbers(node.get("inbound_nodes")))
        kind = node.get("registered_name") or node["class_name"]
        yield Layer(kind, settings.get("name", ""), settings, numbers)
    else:
        for layer in inside:
            yield from _layers(layer)


def _numbers(given: Any) -> Iterator[Any]:
    """Numbers, and lists of numbers, among the arguments of a call.

    A tensor is there by its layer's name, the call's number and the output's (tf_keras), or by an
    object with its history (Keras 3); neither counts.
    """
    match given:
        case bool() | str() | None:
            return
        case int() | float():
            yield given
        case {"class_name": "__keras_tensor__"}:
            return
        case dict():
            for value in given.values():
                yield from _numbers(value)
        case [str(), int(), int(), *rest]:
            yield from _numbers(rest)
        case [*values] if values and all(type(value) in (int, float) for value in values):
            yield values[0] if len(values) == 1 else tuple(values)
        case [*values]:
            for value in values:
                yield from _numbers(value)
