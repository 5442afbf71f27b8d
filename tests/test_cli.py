"""Exit statuses, one-sentence errors, files written whole, and help without TensorFlow."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import flags

from mnv3_tf import cli
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write

ROOT = Path(__file__).parents[1]


def define_flags(values: flags.FlagValues) -> None:
    cli.define_network_flags(values, default="small")
    flags.DEFINE_string("fail", None, "How to fail.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    match args.fail:
        case "user":
            raise UserError("The value 3 is wrong;\n  choose 4.")
        case "bug":
            raise KeyError("lost")
        case "stop":
            raise KeyboardInterrupt
    print(args.model, args.width, args.resolution, args.num_classes, args.json)


def call(*arguments: str) -> int:
    return cli.call(main, define_flags, ["command", *arguments])


def test_flags_reach_main(capsys):
    assert call() == 0
    assert call("--model=large", "--width=0.5", "--resolution=96", "--num_classes=3", "--json") == 0
    assert capsys.readouterr().out == "small 1.0 None None False\nlarge 0.5 96 3 True\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--fail=user"], 2, "The value 3 is wrong; choose 4.\n"),
        (["--fail=stop"], 130, "Interrupted.\n"),
        (["--fail=bug"], 1, "KeyError: 'lost' (--verbosity=1 shows where.)\n"),
        (["more"], 2, "Unexpected argument 'more'; every option starts with --.\n"),
    ],
)
def test_errors_are_one_sentence_and_a_status(arguments, status, said, capsys):
    assert call(*arguments) == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("argument", ["--num_classes=wide", "--nothing=1", "--width"])
def test_bad_flags_are_one_line(argument, capsys):
    assert call(argument) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert argument.strip("-").partition("=")[0] in err


@pytest.mark.parametrize(("fail", "status"), [("user", 2), ("bug", 1)])
def test_verbosity_shows_the_traceback(fail, status, capsys):
    assert call(f"--fail={fail}", "--verbosity=1") == status
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_the_modules_docstring_and_its_flags(flag, capsys):
    assert call(flag) == 0
    out = capsys.readouterr().out
    assert out.startswith("Exit statuses")
    assert "--width" in out
    assert "How to fail." in out


def test_dispatch(capsys, monkeypatch):
    def leave(*arguments: str) -> int:
        with pytest.raises(SystemExit) as stopped:
            cli.dispatch("tools", {"cost": "mnv3_tf.cost"}, ["tools", *arguments])
        return stopped.value.code

    assert leave() == leave("--help") == 0
    assert "cost            Parameters, multiply-adds" in capsys.readouterr().out
    assert leave("price") == 2
    assert capsys.readouterr().err == "Unknown command 'price'; choose one of cost.\n"
    assert leave("cost", "--model=nothing") == 2
    assert leave("cost", "--model=small") == 0
    assert "2,542,856" in capsys.readouterr().out


# -- every command's help --------------------------------------------------------------------

COMMANDS = {
    "train.py": ["train.py"],
    "export_tflite.py": ["export_tflite.py"],
    "cost": ["-m", "mnv3_tf.cost"],
    "inspect": ["-m", "mnv3_tf.inspect"],
    "evaluate": ["-m", "mnv3_tf.evaluate"],
    "benchmark": ["-m", "benchmark"],
    "benchmark latency": ["-m", "benchmark", "latency"],
}
HEAVY = ("tensorflow", "tf_keras", "ai_edge_litert", "matplotlib")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_at_once(command):
    def help_(*options: str) -> subprocess.CompletedProcess:
        arguments = [sys.executable, *options, *COMMANDS[command], "--help"]
        return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)

    begin = time.perf_counter()
    done = help_()
    seconds = time.perf_counter() - begin
    assert (done.returncode, done.stderr) == (0, "")
    assert "Flags:" in done.stdout or "COMMAND" in done.stdout
    imported = {
        line.split("|")[-1].strip() for line in help_("-X", "importtime").stderr.split("\n")
    }
    assert "mnv3_tf.cli" in imported
    assert not imported & set(HEAVY)
    # Under 1.5 s on a machine that does nothing else.
    assert seconds < 1.5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


# -- files -----------------------------------------------------------------------------------


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.json"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".json"
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.json").mkdir()
    for path in (tmp_path / "file" / "a.json", tmp_path / "folder.json", "/proc/nowhere/a.json"):
        with pytest.raises(UserError, match=f"Cannot write {path}: "), atomic_write(path):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.json"]
