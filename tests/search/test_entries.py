"""What the journal of a search holds: journals that were written before are read as ever."""

import json

import pytest
import tiny
from refusals import refused

from mnv3_tf.journal import Journal
from mnv3_tf.search import entries
from mnv3_tf.search.candidates import Candidate, Outcome

SPEC = tiny.SHALLOW
TREE = {"spec": json.loads(SPEC.to_json()), "latency": 9.0, "accuracy": 0.5, "loss": 1.5}
WRITTEN = [
    {"schema_version": 1, "settings": {"search": "netadapt"}},
    {"seed": {**TREE, "stopped": False, "change": ""}},
    {"step": 1, "proposals": [{**TREE, "accuracy": 0.0, "stopped": False, "change": "a: 9 -> 8"}]},
    {"step": 1, "judged": {"hash": SPEC.hash, "accuracy": 0.25, "loss": 2.0}},
    {"step": 2, "judged": {"hash": SPEC.hash, "accuracy": 0.75, "loss": 1.0}},
    {"candidate": {**TREE, "stopped": True, "change": "", "hash": SPEC.hash, "at_rung": 0.375}},
]


@pytest.fixture
def journal(tmp_path) -> Journal:
    """As it was written before there were `entries`."""
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in WRITTEN))
    return entries.open_journal(path, {"search": "netadapt"})


def test_written_before(journal):
    assert entries.start_of(journal) == Candidate(SPEC, 9.0, 0.5, 1.5)
    (proposal,) = entries.proposals_of(journal, 1)
    assert (proposal.accuracy, proposal.change) == (0.0, "a: 9 -> 8")
    assert entries.proposals_of(journal, 2) == []
    assert entries.evaluated_of(journal, 1)[SPEC.hash]["accuracy"] == 0.25
    assert entries.evaluated_of(journal, 2)[SPEC.hash]["accuracy"] == 0.75
    assert entries.candidates_of(journal) == {
        SPEC.hash: Candidate(SPEC, 9.0, 0.5, 1.5, stopped=True, at_rung=0.375)
    }


def test_both_ways(tmp_path):
    journal = entries.open_journal(tmp_path / "journal.jsonl", {})
    assert entries.start_of(journal) is None
    start, other = Candidate(SPEC, 9.0, 0.5, 1.5), Candidate(SPEC, 8.0, 0.0, 0.0, change="x")
    entries.add_start(journal, start)
    entries.add_proposals(journal, 1, [start, other])
    added = entries.add_evaluated(journal, 1, SPEC.hash, Outcome(0.25, 2.0))
    entries.add_candidate(journal, other)
    again = entries.open_journal(tmp_path / "journal.jsonl", {})
    assert entries.start_of(again) == start
    assert entries.proposals_of(again, 1) == [start, other]
    assert entries.evaluated_of(again, 1) == {SPEC.hash: added}
    assert entries.candidates_of(again) == {SPEC.hash: other}


def test_a_journal_of_another_search(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = entries.open_journal(path, {"target": "0.75", "delta": 0.01, "crop": (0.35, 1.0)})
    assert entries.open_journal(path, {"target": "0.75", "delta": 0.01, "crop": (0.35, 1.0)})
    path.unlink()
    first = entries.open_journal(path, {"target": "0.75", "delta": 0.01})
    again = entries.open_journal(path, {"target": "0.75", "delta": 0.01})
    assert again.entries() == first.entries()
    with refused("of a search with target='0.75', not '0.5'; give the same"):
        entries.open_journal(path, {"target": "0.5", "delta": 0.01})
    path.write_text('{"schema_version": 7, "settings": {}}\n')
    with refused("of version 7, not 1"):
        entries.open_journal(path, {})
