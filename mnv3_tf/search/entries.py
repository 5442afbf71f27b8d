"""What the journal of a search holds: each kind of entry has its writer and its reader here.

The first entry has all settings that decide the outcome, so that no search goes on in the
journal of another.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from mnv3_tf.errors import UserError
from mnv3_tf.journal import Journal
from mnv3_tf.search.candidates import Candidate, Outcome
from mnv3_tf.training.run_folder import as_json

SCHEMA_VERSION = 1


class Evaluated(TypedDict):
    """The outcome of a proposal, whose network has this hash."""

    hash: str
    accuracy: float
    loss: float


def open_journal(path: Path, settings: Mapping[str, Any]) -> Journal:
    """The journal of this search. Raises UserError where the file is another search's."""
    journal, settings = Journal[dict[str, Any]](path), as_json(dict(settings))
    entries = journal.entries()
    if not entries:
        journal.add({"schema_version": SCHEMA_VERSION, "settings": settings})
        return journal
    version = entries[0].get("schema_version") if isinstance(entries[0], dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} is of version {version}, not {SCHEMA_VERSION}; give another --out."
        )
    before = entries[0]["settings"]
    for name in {**before, **settings}:
        if before.get(name) != settings.get(name):
            raise UserError(
                f"{path} is of a search with {name}={before.get(name)!r}, not "
                f"{settings.get(name)!r}; give the same, or another --out."
            )
    return journal


# -- NetAdapt --------------------------------------------------------------------------------


def add_start(journal: Journal, start: Candidate) -> None:
    journal.add({"seed": start.to_json()})


def start_of(journal: Journal) -> Candidate | None:
    """The starting point, once it is evaluated."""
    found = (entry["seed"] for entry in journal.entries() if "seed" in entry)
    return next(map(Candidate.from_json, found), None)


def add_proposals(journal: Journal, step: int, proposals: list[Candidate]) -> None:
    journal.add({"step": step, "proposals": [one.to_json() for one in proposals]})


def proposals_of(journal: Journal, step: int) -> list[Candidate]:
    """Those of a step, with their latencies alone; none before they are made."""
    return [
        Candidate.from_json(tree)
        for entry in journal.entries()
        if entry.get("step") == step
        for tree in entry.get("proposals", ())
    ]


def add_evaluated(journal: Journal, step: int, spec_hash: str, outcome: Outcome) -> Evaluated:
    entry = Evaluated(hash=spec_hash, accuracy=outcome.accuracy, loss=outcome.loss)
    journal.add({"step": step, "judged": entry})
    return entry


def evaluated_of(journal: Journal, step: int) -> dict[str, Evaluated]:
    """By their hash, the proposals of a step that were evaluated."""
    found = [e["judged"] for e in journal.entries() if e.get("step") == step and "judged" in e]
    return {one["hash"]: one for one in found}


# -- platform-aware search -------------------------------------------------------------------


def add_candidate(journal: Journal, candidate: Candidate) -> None:
    journal.add({"candidate": {**candidate.to_json(), "hash": candidate.spec.hash}})


def candidates_of(journal: Journal) -> dict[str, Candidate]:
    """By their hash, the networks that were evaluated."""
    found = [dict(entry["candidate"]) for entry in journal.entries() if "candidate" in entry]
    return {tree.pop("hash"): Candidate.from_json(tree) for tree in found}
