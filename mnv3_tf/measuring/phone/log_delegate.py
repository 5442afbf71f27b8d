"""Which delegate a log says took how much of the graph."""

import re
from collections.abc import Sequence
from typing import TypedDict

NAMES = {
    "xnnpack": r"xnnpack",
    "gpu": r"gpu|(?:\b|_)[cg]l\b|metal",
    "nnapi": r"nnapi|neural ?networks",
    "hexagon": r"hexagon",
    "coreml": r"core ?ml",
    "npu": r"\bnpu\b|dispatch",  # LiteRT's delegate for what a plug-in compiled
    "flex": r"flex|select tf",
}
"""Of what the log calls it, in lower case; any other name loses but its "delegate"."""
FRAME = re.compile(r"^tflite|[\W_]*delegate\w*$")

# Every subgraph has a line of its own; older ones lack the total or the partitions.
REPLACING = re.compile(
    r"Replacing (?P<replaced>\d+)(?: out of (?P<total>\d+))? node\(?s?\)? with delegate "
    r"\((?P<name>[^)]*)\)(?: node)?(?:, yielding (?P<partitions>\d+) partitions?)?"
)
DELEGATED = re.compile(
    r"(?P<name>\w+) delegate: (?P<replaced>\d+) nodes delegated out of (?P<total>\d+) nodes"
    r"(?:,? with (?P<partitions>\d+) partitions?)?"
)
APPLIED = re.compile(
    r"\b[Aa]pplied (?P<name>[\w -]+?) delegate\b(?:.*?w/ (?P<partitions>\d+) delegate kernels?)?"
)
NOT_EXECUTED = re.compile(r"Though (?P<name>[\w -]+?) delegate is explicitly applied")
CREATED = re.compile(
    r"Created TensorFlow Lite (?:delegate for )?(?P<name>.+?)(?: delegate.*|\.)?$"
    r"|(?P<short>\w+) delegate created\."
)
KERNELS = re.compile(r"Created (?P<partitions>\d+) (?P<name>\w+) delegate kernels?")


class Delegate(TypedDict):
    """`partitions` is of the whole graph where the log says so, else the delegate's kernels."""

    name: str | None
    replaced: int | None
    total: int | None
    partitions: int | None


NONE: Delegate = {"name": None, "replaced": None, "total": None, "partitions": None}


def find_delegate(texts: Sequence[str]) -> Delegate:
    """The delegate that was asked for; without such a word, the one that took the most nodes.

    Of several subgraphs the one counts in which it took the most. A delegate that was created,
    of which nothing else is said, has but its name.
    """
    taken = _all((REPLACING, DELEGATED), texts)
    applied, refused = _all((APPLIED,), texts), _all((NOT_EXECUTED,), texts)
    kernels, created = _all((KERNELS,), texts), _all((CREATED,), texts)
    asked = {one["name"] for one in applied or refused}
    if "external" in asked:  # a plug-in, which calls itself by its own name
        asked = {one["name"] for one in taken if one["name"] != "xnnpack"} or asked
    candidates = [one for one in taken if not asked or one["name"] in asked]
    if candidates:
        found = max(candidates, key=lambda one: (one["replaced"] or 0, one["total"] or 0))
    else:
        found = next((kind[-1] for kind in (applied, refused, kernels, created) if kind), NONE)
    for one in (*applied, *kernels):
        if one["name"] == found["name"] and found["partitions"] is None:
            found = {**found, "partitions": one["partitions"]}
    return found


def _all(patterns: Sequence[re.Pattern[str]], texts: Sequence[str]) -> list[Delegate]:
    return [_read(match) for p in patterns for text in texts for match in p.finditer(text)]


def _read(match: re.Match[str]) -> Delegate:
    groups = match.groupdict()
    replaced, total, partitions = (
        int(groups[key]) if groups.get(key) else None for key in ("replaced", "total", "partitions")
    )
    name = normal_name(groups.get("name") or groups.get("short") or "")
    return {"name": name, "replaced": replaced, "total": total, "partitions": partitions}


def normal_name(name: str) -> str:
    lower = name.lower().strip()
    known = (name for name, pattern in NAMES.items() if re.search(pattern, lower))
    return next(known, FRAME.sub("", lower))
