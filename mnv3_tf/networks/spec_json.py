"""Specs as JSON text, and the hash that names them."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mnv3_tf.errors import UserError


def load(text: str) -> Any:
    """What the text says. Raises UserError where it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"A network spec must be JSON, but {error}.") from None


LATER = {"skip": True, "hidden_batch_norm": False, "hidden_activation": None, "zero": None}
"""Fields that are left out where they have the value that all networks had before there was such a
field: those keep their text, and the hash by which runs and caches know them."""


def tree_of(spec: Any) -> dict[str, Any]:
    """The fields of a dataclass, and of those in it, without those of `LATER`."""
    return dataclasses.asdict(
        spec, dict_factory=lambda fields: {k: v for k, v in fields if LATER.get(k) is not v}
    )


def dump(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=1) + "\n"


def digest(tree: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits, the same on every machine."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def decode(kind: Any, tree: Any, where: str) -> Any:
    """JSON back into (nested, frozen) dataclasses, naming the place of any mistake."""
    if get_origin(kind) is UnionType:
        tree, kind = _of_kind(get_args(kind), tree, where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(tree, dict):
            raise UserError(f"In the network spec, {where} must be an object, not {tree!r}.")
        hints = get_type_hints(kind)
        if unknown := sorted(set(tree) - set(hints)):
            raise UserError(f"In the network spec, {where} has an unknown field {unknown[0]!r}.")
        required = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
        if missing := sorted(required - set(tree)):
            raise UserError(f"In the network spec, {where} lacks the field {missing[0]!r}.")
        return kind(**{k: decode(hints[k], v, f"{where}.{k}") for k, v in tree.items()})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        if not isinstance(tree, list):
            raise UserError(f"In the network spec, {where} must be a list, not {tree!r}.")
        item = get_args(kind)[0]
        return tuple(decode(item, v, f"{where}[{i}]") for i, v in enumerate(tree))
    if kind is float and type(tree) in (int, float) and math.isfinite(tree):
        return float(tree)
    if type(tree) is not kind:
        raise UserError(f"In the network spec, {where} must be {kind.__name__}, not {tree!r}.")
    return tree


def _of_kind(kinds: Sequence[Any], tree: Any, where: str) -> tuple[Any, Any]:
    """The tree without its "kind", and which of the kinds it is of; the first where it has none."""
    if not isinstance(tree, dict) or "kind" not in tree:
        return tree, kinds[0]
    by_name = {kind.kind: kind for kind in kinds}
    if tree["kind"] not in by_name:
        raise UserError(
            f"In the network spec, {where}.kind is {tree['kind']!r} but must be one of "
            f"{', '.join(by_name)}."
        )
    return {k: v for k, v in tree.items() if k != "kind"}, by_name[tree["kind"]]
