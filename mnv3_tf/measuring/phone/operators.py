"""The rows of an operator profile, by who ran them.

A delegate is a row of its own, and one that reports its insides adds rows whose names begin with
"Delegate/": their time is also in the delegate's row.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

Rows = Sequence[dict[str, Any]]
INSIDE = "Delegate/"


def milliseconds(ops: Rows) -> dict[str, float]:
    """Time by type; a delegate's own row counts only where its insides are not listed."""
    insides = any(_is_inside(op) for op in ops)
    found: dict[str, float] = defaultdict(float)
    for op in ops:
        if _is_inside(op):
            found[op["name"].removeprefix(INSIDE).split(":")[0]] += op["avg_ms"] or 0.0
        elif not (insides and _is_delegate(op)):
            found[op["type"]] += op["avg_ms"] or 0.0
    return found


def outside(ops: Rows) -> dict[str, int]:
    """How many operators of each type no delegate ran; empty if there was no delegate."""
    if not any(_is_delegate(op) for op in ops):
        return {}
    return dict(Counter(op["type"] for op in ops if not (_is_inside(op) or _is_delegate(op))))


def _is_inside(op: dict[str, Any]) -> bool:
    return (op["name"] or "").startswith(INSIDE)


def _is_delegate(op: dict[str, Any]) -> bool:
    return "delegate" in op["type"].lower() and not _is_inside(op)
