"""A network's latency from a table of its operators, measured once.

The table has each kind of operator on a grid of channels; between its points latency is
interpolated linearly in each number of channels, which is exact for what a convolution costs as
long as caches do not matter. A sum of parts is not yet a network: each part was timed alone,
with its call and with its weights in the cache. A correction, fitted to networks measured whole,
weighs the sums of each kind of operator, and how many there are.

No TensorFlow here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.machine import Conditions
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Conv, Convolution, Operator
from mnv3_tf.networks.spec import NetworkSpec

SCHEMA_VERSION = 1
RIDGE = 1e-3
"""How much a weight is held at what it would be if networks were sums of their parts."""


@dataclass(frozen=True, order=True)
class Key:
    """What an operator is apart from its channels. `height` is the side of its input."""

    kind: str
    height: int
    kernel: int
    stride: int
    dilation: int
    activation: str


def key_of(op: Operator) -> Key:
    if isinstance(op, Convolution):
        return Key(op.kind, op.input[0], op.kernel, op.stride, op.dilation, op.activation)
    return Key(op.kind, op.input[0], 1, 1, 1, op.activation)


def channels_of(op: Operator) -> tuple[int, ...]:
    """The axes of an operator's grid: input and output channels of a convolution, else channels."""
    return (op.input[2], op.output[2]) if isinstance(op, Conv) else (op.input[2],)


def with_channels(op: Operator, channels: Sequence[int]) -> Operator:
    """The same operator with other channels."""
    return replace(op, input=(*op.input[:2], channels[0]), output=(*op.output[:2], channels[-1]))


@dataclass(frozen=True)
class Grid:
    """`values` in microseconds, with an axis for each of `knots` (ascending channels)."""

    knots: tuple[tuple[int, ...], ...]
    values: np.ndarray

    def at(self, channels: Sequence[int]) -> float | None:
        """None outside the grid."""
        inside = all(
            knots[0] <= channel <= knots[-1]
            for knots, channel in zip(self.knots, channels, strict=True)
        )
        if not inside:
            return None
        values = self.values
        for knots, channel in zip(reversed(self.knots), reversed(channels), strict=True):
            values = np.apply_along_axis(_interpolated, -1, values, channel, knots)
        return float(values)


def _interpolated(values: np.ndarray, channel: int, knots: Sequence[int]) -> np.ndarray:
    return np.asarray(np.interp(channel, knots, values))


FEATURES = ("conv", "dense", "depthwise", "mean", "multiply", "add", "operators", "network")
"""Sums of latencies by kind ("dense" is a convolution of 1x1 pixels), the number of operators,
and 1 for the network."""


def features_of(found: Iterable[tuple[Operator, float]]) -> np.ndarray:
    """The features of operators with their latencies in microseconds."""
    sums = dict.fromkeys(FEATURES, 0.0) | {"network": 1.0}
    for op, us in found:
        kind = "dense" if isinstance(op, Conv) and op.input[0] == 1 else op.kind
        sums[kind] += us
        sums["operators"] += 1
    return np.array([sums[name] for name in FEATURES])


def operators_of_classifier(spec: NetworkSpec) -> tuple[Operator, ...]:
    """Raises UserError for a network with operators of which there is no feature."""
    listed = operators(spec)
    unknown = next((op for op in listed if op.kind not in FEATURES), None)
    if unknown:
        raise UserError(
            f"The latency table is of classifiers and knows no {unknown.kind}, which {spec.name} "
            "has; give a network of --task=classify."
        )
    return listed


PRIOR = np.array([1.0] * 6 + [0.0] * 2)


def fit(features: np.ndarray, measured_us: np.ndarray) -> np.ndarray:
    """Weights of FEATURES that make relative errors small, (N, F) and (N,).

    Ridge regression towards a plain sum of parts: features that hardly vary keep their weight.
    """
    scaled = features / measured_us[:, None]
    size = np.abs(scaled).mean(0) + 1e-12
    normal = scaled / size
    penalty = RIDGE * len(measured_us) * np.eye(len(size))
    target = normal.T @ (np.ones(len(measured_us)) - scaled @ PRIOR)
    return PRIOR + np.linalg.solve(normal.T @ normal + penalty, target) / size


class Errors(TypedDict):
    """Of predictions, as parts of what was measured; 95 % of them are at most `p95`."""

    networks: int
    median: float
    p95: float
    spearman: float


class TableErrors(Errors):
    """With the correction, and what a plain sum of parts has instead."""

    sum_of_parts: Errors


@dataclass
class LatencyTable:
    """`conditions` say of what the numbers are: device, threads, delegate.

    `weights` are the correction of each precision, absent until it is fitted.
    """

    conditions: Conditions
    grids: dict[str, dict[Key, Grid]] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, TableErrors] = field(default_factory=dict)

    def operator_us(self, op: Operator, quantize: str) -> float:
        """Raises UserError for an operator that the table lacks."""
        grid = self.grids.get(quantize, {}).get(key_of(op))
        found = grid.at(channels_of(op)) if grid else None
        if found is None:
            key = key_of(op)
            raise UserError(
                f"The latency table has no {op.kind} {key.kernel}x{key.kernel} of stride "
                f"{key.stride} with {op.activation} at {op.input[0]}x{op.input[1]} for "
                f"{' to '.join(map(str, channels_of(op)))} channels in {quantize!r}; fill it with "
                "python -m benchmark latency_table, with --seeds and --resolution of this network."
            )
        return found

    def features(self, spec: NetworkSpec, quantize: str) -> np.ndarray:
        listed = operators_of_classifier(spec)
        return features_of((op, self.operator_us(op, quantize)) for op in listed)

    def sum_us(self, spec: NetworkSpec, quantize: str) -> float:
        """Of the parts, without the correction."""
        return float(self.features(spec, quantize) @ PRIOR)

    def network_us(self, spec: NetworkSpec, quantize: str) -> float:
        """Latency in microseconds; raises UserError for an operator that the table lacks."""
        weights = self.weights.get(quantize, PRIOR)
        return float(self.features(spec, quantize) @ weights)

    # -- text ------------------------------------------------------------------------------------

    def to_json(self) -> str:
        tree = {
            "schema_version": SCHEMA_VERSION,
            "conditions": self.conditions,
            "features": FEATURES,
            "weights": {name: weights.tolist() for name, weights in self.weights.items()},
            "errors": self.errors,
            "grids": {
                quantize: [
                    asdict(key) | {"knots": grid.knots, "us": grid.values.tolist()}
                    for key, grid in sorted(grids.items())
                ]
                for quantize, grids in self.grids.items()
            },
        }
        return json.dumps(tree, indent=1) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> "LatencyTable":
        """Raises UserError for what is no table of this version."""
        try:
            tree = json.loads(Path(path).read_text())
            version = tree["schema_version"]
            if version == SCHEMA_VERSION:
                return cls(
                    tree["conditions"],
                    {name: dict(map(_grid_of, rows)) for name, rows in tree["grids"].items()},
                    {name: np.array(weights) for name, weights in tree["weights"].items()},
                    tree["errors"],
                )
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            version = None
        found = "" if version is None else f" of version {SCHEMA_VERSION} but of {version}"
        raise UserError(
            f"{path} is no latency table{found}; measure it again with python -m "
            "benchmark latency_table."
        )


def _grid_of(row: Mapping[str, Any]) -> tuple[Key, Grid]:
    key = Key(**{name: row[name] for name in Key.__dataclass_fields__})
    return key, Grid(tuple(map(tuple, row["knots"])), np.array(row["us"], float))


# -- what to measure -------------------------------------------------------------------------


def knots_between(low: int, high: int, count: int) -> tuple[int, ...]:
    """Multiples of 8 at about equal ratios, with both ends as they are."""
    if low == high:
        return (low,)
    inner = np.geomspace(low, high, count)[1:-1]
    rounded = (round(value / 8) * 8 for value in inner)
    return tuple(sorted({low, high, *(value for value in rounded if low < value < high)}))


def plan_grids(
    specs: Iterable[NetworkSpec], plane: int, line: int
) -> dict[Key, tuple[Operator, tuple[tuple[int, ...], ...]]]:
    """For each key in the networks, an operator to vary and the knots that span them all.

    `plane` knots for each axis of a convolution, `line` for operators with one axis.
    """
    found: dict[Key, list[Operator]] = {}
    for spec in specs:
        for op in operators_of_classifier(spec):
            found.setdefault(key_of(op), []).append(op)
    plans = {}
    for key, ops in found.items():
        axes = zip(*map(channels_of, ops), strict=True)
        count = plane if key.kind == "conv" else line
        plans[key] = ops[0], tuple(knots_between(min(a), max(a), count) for a in map(list, axes))
    return plans
