"""Rooms that start at once: loading all of their modules loads nothing heavy."""

import json
import subprocess
import sys

from test_rooms import ROOT, WITHOUT_TENSORFLOW, modules, room_of

HEAVY = (
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow_model_optimization",
    "ai_edge_litert",
    "matplotlib",
    "ray",
)
PROGRAM = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps([name for name in json.loads(sys.argv[2]) if name in sys.modules]))
"""


def loaded(names: list[str]) -> list[str]:
    """Which of `HEAVY` a new process has once it has imported the modules."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(names), json.dumps(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_read_from_the_sources_holds_of_a_process():
    """As it is started: an import that no source shows, such as another package's, counts too."""
    names = [name for name in modules() if room_of(name) in WITHOUT_TENSORFLOW]
    assert {name.split(".")[1] for name in names if name.startswith("mnv3_tf.")} == {
        room for room in WITHOUT_TENSORFLOW if room != "android_bench"
    }
    assert loaded([*names, "export_tflite", "mnv3_tf.export.settings", "mnv3_tf.inspect"]) == []


def test_a_heavy_module_is_noticed():
    assert loaded(["matplotlib"]) == ["matplotlib"]
