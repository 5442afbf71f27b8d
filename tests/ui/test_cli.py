"""Exit statuses, one-sentence errors, files written whole, and help without TensorFlow."""

import json
import os
import signal

import pytest
from absl import flags
from commands import run

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.tasks.flags import define_network_flags
from mnv3_tf.ui import cli


def define_flags(values: flags.FlagValues) -> None:
    define_network_flags(values, default="small")
    flags.DEFINE_string("fail", None, "How to fail.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    match args.fail:
        case "user":
            raise UserError("The value 3 is wrong;\n  choose 4.")
        case "bug":
            raise KeyError("lost")
        case "half way":
            raise Failure("Two of three failed.")
        case "stop":
            raise KeyboardInterrupt
        case "end":
            os.kill(os.getpid(), signal.SIGTERM)
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
        (["--fail=half way"], 1, "Two of three failed.\n"),
        (["--fail=stop"], 130, "Interrupted.\n"),
        (["--fail=end"], 143, "Terminated.\n"),
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


def test_a_handler_of_sigterm_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    assert call("--fail=end") == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_flag_may_stand_bare(capsys):
    def define(values: flags.FlagValues) -> None:
        flags.DEFINE_string("one", None, "A value.", flag_values=values)
        flags.DEFINE_multi_string("many", [], "Values.", flag_values=values)

    def show(args: flags.FlagValues) -> None:
        print(args.one, args.many)

    def call(bare: str, *words: str) -> int:
        return cli.call(show, define, ["command", *words], bare)

    assert call("one", "x", "--many=y") == call("many", "x", "--one=z", "y", "--many=w") == 0
    assert capsys.readouterr().out == "x ['y']\nz ['w', 'x', 'y']\n"
    assert call("one", "x", "y") == call("one", "--one=x", "y") == 2
    assert capsys.readouterr().err.count("Unexpected argument") == 2


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
    commands = {"cost": "mnv3_tf.cost", "a_command_of_a_long_name": "mnv3_tf.inspect"}

    def leave(*arguments: str) -> int:
        with pytest.raises(SystemExit) as stopped:
            cli.dispatch("tools", commands, ["tools", *arguments])
        return stopped.value.code

    assert leave() == leave("--help") == 0
    out = capsys.readouterr().out
    assert "  cost                      Parameters, multiply-adds" in out
    assert "  a_command_of_a_long_name  What is inside a .tflite" in out
    assert leave("price") == 2
    known = ", ".join(commands)
    assert capsys.readouterr().err == f"Unknown command 'price'; choose one of {known}.\n"
    assert leave("cost", "--model=nothing") == 2
    assert leave("cost", "--model=small") == 0
    assert "2,542,856" in capsys.readouterr().out


# -- every command's help --------------------------------------------------------------------

SCRIPTS = ("train.py", "export_tflite.py")
MODULES = (
    "mnv3_tf.cost",
    "mnv3_tf.inspect",
    "mnv3_tf.evaluate",
    "mnv3_tf.predict",
    "mnv3_tf.training.compare",
)
PACKAGES = ("mnv3_tf.search", "benchmark", "android_bench")
ASK_ALL = """
import contextlib, importlib, io, json, runpy, sys

def ask(run, name, *words):
    sys.argv = [name, *words]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            run(name, run_name="__main__")
        except SystemExit as end:
            status = end.code
    loaded = {module.partition(".")[0] for module in sys.modules}
    print(json.dumps([" ".join([name, *words]), status, printed.getvalue(), sorted(loaded)]))

def run_module(name, run_name):
    runpy.run_module(name, run_name=run_name, alter_sys=True)

scripts, modules, packages = map(str.split, sys.argv[1:])
for name in scripts:
    ask(runpy.run_path, name, "--help")
for name in modules:
    ask(run_module, name, "--help")
for name in packages:
    commands = importlib.import_module(name + ".__main__").COMMANDS
    ask(run_module, name)
    for command in commands:
        ask(run_module, name, command, "--help")
"""
HEAVY = {"tensorflow", "tf_keras", "keras", "ai_edge_litert", "matplotlib", "PIL"}


def test_help_needs_nothing_heavy():
    """All commands in one process, so the first that imports something is named."""
    words = [" ".join(names) for names in (SCRIPTS, MODULES, PACKAGES)]
    status, out, err = run("-W", "ignore::RuntimeWarning", "-c", ASK_ALL, *words)
    assert (status, err) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) > 25
    for name, status, text, loaded in answers:
        assert status == 0, name
        assert "mnv3_tf" in loaded
        assert not HEAVY & set(loaded), name
        if name in PACKAGES:
            assert text.startswith(f"python -m {name} COMMAND")
            others = [other.split()[1] for other, *_ in answers if other.startswith(f"{name} ")]
            lines = text.splitlines()[2:]
            assert len(lines) == len(others)
            for other, line in zip(others, lines, strict=True):
                assert line.startswith(f"  {other}")
                assert len(line) > 2 + len(other) + 10  # a summary
        else:
            assert "\nFlags:\n" in text, name
            assert len(text.splitlines()[0]) > 20, name
    flags = next(text for name, _, text, _ in answers if name == "train.py --help")
    for name in ("task", "recipe", "checkpoint_every", "strategy", "[no]overwrite"):
        assert f"--{name}" in flags


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
