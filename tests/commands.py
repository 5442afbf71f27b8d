"""The project's commands in processes of their own, as a user meets them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
