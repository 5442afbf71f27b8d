"""The project's commands as a user meets them: here, or in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mnv3_tf.ui import cli

ROOT = Path(__file__).parents[1]


def call(command: ModuleType, *arguments: object) -> int:
    """The exit status of a command in this process; `arguments` are those after its name."""
    words = [command.__name__, *map(str, arguments)]
    return cli.call(command.main, command.define_flags, words, getattr(command, "BARE", None))


def last_json(text: str) -> dict[str, Any]:
    """What a command prints last when it is given --json."""
    return json.loads(text.splitlines()[-1])


def start(*arguments: str) -> subprocess.Popen:
    """Of Python: "train.py", or "-m" and a module, with what follows."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, timeout: float = 1200) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    process = start(*arguments)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err
