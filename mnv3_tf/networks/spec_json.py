"""Specs as JSON text, and the hash that names them."""

import dataclasses
import hashlib
import json
import math
from typing import Any, get_args, get_origin, get_type_hints

from mnv3_tf.errors import UserError


def load(text: str) -> Any:
    """What the text says. Raises UserError where it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"A network spec must be JSON, but {error}.") from None


def tree_of(spec: Any) -> dict[str, Any]:
    """The fields of a dataclass, and of those in it.

    A block's `skip` is left out where it is True: networks that all have it keep the text and the
    hash that they had before there was such a field, by which runs and caches know them.
    """
    return dataclasses.asdict(
        spec, dict_factory=lambda fields: {k: v for k, v in fields if (k, v) != ("skip", True)}
    )


def dump(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=1) + "\n"


def digest(tree: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits, the same on every machine."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def decode(kind: Any, tree: Any, where: str) -> Any:
    """JSON back into (nested, frozen) dataclasses, naming the place of any mistake."""
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
