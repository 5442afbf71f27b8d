"""Looking at files without a process for each, where it is known that they do no harm."""

import contextlib
import io
import json
import os
import runpy
import sys
import warnings
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def in_process() -> Iterator[None]:
    """`loading.run_isolated` runs its module here, which a file that crashes would not survive."""
    from mnv3_tf.tflite import loading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "run_isolated", _run)
        yield


def _run(module: str, *arguments: str) -> tuple[list[dict], int, str]:
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # it is imported already
        patch.setattr(sys, "argv", [module, *arguments])
        patch.setattr(os, "_exit", sys.exit)
        runpy.run_module(module, run_name="__main__")
    lines = printed.getvalue().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")], 0, ""
