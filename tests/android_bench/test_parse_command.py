"""The command that parses a log, from whatever file it is in."""

import io
import json
from collections.abc import Callable

import pytest
from phones.known_logs import LOGS, SUMMARY, read
from refusals import check_command

from android_bench import parse
from mnv3_tf.measuring.phone import log
from mnv3_tf.ui import cli


@pytest.fixture
def call(capsys) -> Callable[..., dict]:
    """(the arguments of the command) -> the object that it prints."""

    def run(*arguments: object) -> dict:
        words = ["parse", *map(str, arguments)]
        assert cli.call(parse.main, parse.define_flags, words, parse.BARE) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_the_command_prints_one_object(call, monkeypatch):
    expected = log.parse(read("current.txt"))
    path = LOGS / "current.txt"
    assert call(path) == call(f"--log={path}") == call(path, "--json") == expected
    piped = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
    monkeypatch.setattr("sys.stdin", piped)
    assert call("-") == expected


def test_the_command_tells_what_is_wrong(capsys, tmp_path):
    for path, named in (("/none/such.log", "- for standard input"), (LOGS, "cannot be read")):
        check_command(parse, [path], (path, named), capsys, tmp_path)
    assert cli.call(parse.main, parse.define_flags, ["parse"], parse.BARE) == 2
    assert "python -m android_bench parse run.log" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
def test_encodings(encoding: str):
    text = read("current.txt")
    if encoding == "utf-16-be-bom":
        content = b"\xfe\xff" + text.encode("utf-16-be")
    else:
        content = text.encode(encoding)
    assert parse.decode(content) == text


def test_bytes_that_are_no_text():
    assert log.parse(parse.decode(b"\xff\x00\x80\n" + SUMMARY.encode()))["status"] == "ok"
