"""Nothing measured is lost, and no half line is read."""

import threading

import pytest

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.journal import Journal


def entry(key: str = "k", number: int = 1) -> dict:
    return {"key": key, "round": number}


def test_entries_are_there_when_it_is_opened_again(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    for key, number in (("a", 1), ("a", 2), ("b", 1)):
        first.add(entry(key, number))
    again = Journal(path)
    assert again.entries() == first.entries()
    assert again.where(key="a") == [entry("a", 1), entry("a", 2)]
    assert again.where(key="a", round=2) == [entry("a", 2)]


def test_a_line_that_was_cut_is_dropped(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).add(entry())
    with path.open("a") as file:
        file.write('{"key": "k", "rou')
    again = Journal(path)
    again.add(entry(number=2))
    assert Journal(path).entries() == [entry(), entry(number=2)]


def test_damage_in_the_middle_is_not_passed_over(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key": "k", "round": 1}\n???\n{"key": "k", "round": 2}\n')
    with pytest.raises(UserError, match=r"Line 2 of .* is damaged"):
        Journal(path)


def test_a_full_disk_stops_with_what_was_written_intact(small_disk) -> None:
    path = small_disk / "journal.jsonl"
    journal = Journal(path)
    journal.add(entry())
    long = entry() | {"text": "x" * 5_000_000}
    with pytest.raises(Failure, match=r"No space left.*run the same command again"):
        journal.add(long)
    journal.add(entry(number=2))
    assert len(path.read_text().splitlines()) == len(journal.entries())


def test_threads_do_not_mix_their_lines(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")

    def write(key: str) -> None:
        for number in range(50):
            journal.add(entry(key, number))

    writers = [threading.Thread(target=write, args=(key,)) for key in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Journal(tmp_path / "journal.jsonl").entries()) == 200
