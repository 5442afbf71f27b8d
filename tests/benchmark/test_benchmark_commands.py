"""What all commands of `benchmark` share: their flags' defaults and bounds, and a quick --help."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from absl import flags

from benchmark import __main__ as benchmark
from benchmark.input_pipeline import PipelineSettings
from benchmark.latency_table import TableSettings
from benchmark.memory import MemorySettings
from benchmark.profile import ProfileSettings
from benchmark.search_strategies import StrategySettings
from benchmark.train_step import StepSettings
from mnv3_tf.errors import UserError
from mnv3_tf.measuring import latency
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import read

ROOT = Path(__file__).parents[2]

HEAD = {
    "task": "classify",
    "tail": "auto",
    "head": "lraspp",
    "head_filters": 128,
    "output_stride": 16,
    "pooling": "window",
}
DEFAULTS = {
    "arm": {
        "setup": False,
        "fit": False,
        "models": [],
        "device": ["arm:cortex-a76"],
        "delegate": "xnnpack",
        "input_shape": None,
        "processes": None,
        "parts": False,
        "out": None,
        "json": False,
    },
    "compare": {"results": [], "bound": None, "force": False, "json": False},
    "demo": {"out": "demo", "steps": None, "json": False},
    "docs": {"docs": "docs", "results": None},
    "input_pipeline": {
        "pictures": None,
        "resolution": 224,
        "batch_size": 32,
        "batches": 64,
        "rounds": 10,
        "out": None,
        "json": False,
    },
    "int8": {},
    "latency": {
        "models": [],
        "threads": 1,
        "rounds": 30,
        "burst_ms": 50,
        "input_shape": None,
        "seed": 0,
        "delegate": "xnnpack",
        "device": ["host"],
        "out": None,
        "json": False,
    },
    "latency_table": {
        "seeds": ["large", "small"],
        "resolution": 224,
        "smallest": None,
        "networks": 40,
        "plane": 4,
        "line": 5,
        "rounds": 20,
        "threads": 1,
        "seed": 0,
        "device": None,
        "adb": None,
        "benchmark_binary": None,
        "out": None,
        "json": False,
    },
    "memory": {
        "steps": 2000,
        "model": "small",
        "resolution": 96,
        "batch_size": 16,
        "recipe": "quick",
        "out": None,
        "json": False,
    },
    "paper": {
        "tables": [],
        "reports": [],
        "threads": 1,
        "rounds": 40,
        "burst_ms": 50,
        "input_shape": None,
        "device": ["host"],
        "overwrite": False,
        "out": None,
        "json": False,
    },
    "profile": {
        "models": ["large", "small"],
        "resolution": None,
        **HEAD,
        "rounds": 20,
        "threads": 1,
        "device": "host",
        "adb": None,
        "benchmark_binary": None,
        "out": None,
        "json": False,
    },
    "report": {"results": "bench", "out": None},
    "search_strategies": {
        "latency_table": None,
        "quantize": "int8",
        "resolution": 128,
        "runs": 5,
        "out": None,
        "json": False,
    },
    "train_step": {
        "models": ["large", "small"],
        "resolution": 224,
        "batch_size": 32,
        "steps": 2,
        "rounds": 10,
        "jit_compile": False,
        "out": None,
        "json": False,
    },
}
LEAST = {
    "compare": {"bound": 0.0},
    "input_pipeline": {"resolution": 1, "batch_size": 1, "batches": 1, "rounds": 5},
    "latency_table": {
        "resolution": 1,
        "networks": 2,
        "plane": 1,
        "line": 1,
        "rounds": 1,
        "threads": 1,
    },
    "memory": {"steps": 1, "resolution": 32, "batch_size": 1},
    "profile": {"rounds": 1, "threads": 1},
    "search_strategies": {"runs": 1},
    "train_step": {"resolution": 32, "batch_size": 1, "steps": 1, "rounds": 5},
}


def parsed(name: str, *words: str) -> flags.FlagValues:
    values = flags.FlagValues()
    importlib.import_module(benchmark.COMMANDS[name]).define_flags(values)
    values([name, *words])
    return values


def settings_of(name: str, *words: str) -> list[Any]:
    """Those that the flags of a command make."""
    values = parsed(name, *words)
    if name == "int8":
        return [read(values, latency.HostSettings, delegate="xnnpack")]
    made: dict[str, tuple[type, dict[str, str]]] = {
        "input_pipeline": (PipelineSettings, {}),
        "latency_table": (TableSettings, {"out": "a.json"}),
        "memory": (MemorySettings, {}),
        "profile": (ProfileSettings, {}),
        "search_strategies": (StrategySettings, {"out": "a", "latency_table": "b.json"}),
        "train_step": (StepSettings, {}),
    }
    if name not in made:
        return []
    cls, given = made[name]
    return [read(values, cls, **given)]


def test_every_command_is_here():
    assert list(benchmark.COMMANDS) == list(DEFAULTS)


@pytest.mark.parametrize("name", [name for name, told in DEFAULTS.items() if told])
def test_defaults(name):
    assert parsed(name).flag_values_dict() == DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "flag", "least"),
    [(name, flag, least) for name, told in LEAST.items() for flag, least in told.items()],
)
def test_what_is_too_small_is_no_value_of_a_flag(name, flag, least):
    assert parsed(name, f"--{flag}={least}")[flag].value == least
    with pytest.raises((flags.IllegalFlagValueError, UserError), match=flag):
        settings_of(name, f"--{flag}={least - 1}")


def test_what_there_is_not_is_no_value_of_a_flag():
    with pytest.raises(UserError, match="delegate=nnapi is not one of xnnpack"):
        read(parsed("latency", "--delegate=nnapi"), latency.HostSettings)
    with pytest.raises(UserError, match="quantize=float16 is not one of none, int8"):
        settings_of("search_strategies", "--quantize=float16")


def test_settings_of_latency_are_bounded_too():
    for name, least in {"threads": 1, "rounds": 5, "burst_ms": 1}.items():
        assert getattr(latency.HostSettings(**{name: least}), name) == least
        with pytest.raises(
            UserError, match=f"--{name}={least - 1} is too small; give at least {least}."
        ):
            latency.HostSettings(**{name: least - 1})
    assert latency.HostSettings() == latency.HostSettings(1, 30, 50, 0, "xnnpack")


HELP = """
import contextlib, importlib, io, json, os, sys
from benchmark import __main__ as benchmark
from mnv3_tf.ui import cli
from mnv3_tf.errors import UserError

said, heavy = {}, {}
for name in benchmark.COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        module = importlib.import_module(benchmark.COMMANDS[name])
        status = cli.call(module.main, module.define_flags, [name, "--help"])
    said[name] = status, printed.getvalue()
    heavy[name] = sorted({module.partition(".")[0] for module in sys.modules} & {
        "ai_edge_litert", "matplotlib", "tensorflow", "tf_keras"})
print(json.dumps([said, heavy]))
"""


def test_help_answers_at_once():
    """Of all commands, in one process: nothing heavy is imported for it."""
    argv = [sys.executable, "-c", HELP]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}
    )
    assert done.returncode == 0, done.stderr
    said, heavy = json.loads(done.stdout)
    for name, (status, text) in said.items():
        assert status == 0
        module = importlib.import_module(benchmark.COMMANDS[name])
        assert text.startswith(module.__doc__.splitlines()[0])
        assert all(f"--{flag}" in text or f"--[no]{flag}" in text for flag in DEFAULTS[name])
        assert heavy[name] == [], name


def test_the_list_of_commands_has_a_line_for_each(capsys):
    with pytest.raises(SystemExit) as left:
        cli.dispatch("benchmark", benchmark.COMMANDS, ["benchmark"])
    assert left.value.code == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    for line, (name, path) in zip(lines, benchmark.COMMANDS.items(), strict=True):
        assert line.startswith(f"  {name}")
        assert line.endswith(importlib.import_module(path).__doc__.splitlines()[0])
