"""What each room of the code may import: docs/architecture.md's rule, read from the sources."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("mnv3_tf", "benchmark", "android_bench")
SCRIPTS = ("train", "export_tflite")

BOTTOM = ("mnv3_tf", "errors", "files", "journal", "upright", "ui")
TRAINED = ("networks", "tasks", "detection", "segmentation", "data", "layers", "weights", "models")
TIMED = ("networks", "tasks", "detection", "segmentation", "tflite")

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "mnv3_tf": (),
    "errors": (),
    "files": ("errors",),
    "journal": ("errors", "files"),
    "upright": ("errors",),
    "ui": ("errors", "files"),
    "networks": ("errors",),
    "tasks": (*BOTTOM, "networks"),
    "detection": (*BOTTOM, "networks", "tasks"),
    "segmentation": (*BOTTOM, "networks", "tasks"),
    "data": (*BOTTOM, "networks", "tasks", "detection", "segmentation"),
    "layers": ("errors", "networks"),
    "weights": (*BOTTOM, "networks"),
    "models": (*BOTTOM, "networks", "tasks", "layers", "weights"),
    "tflite": (*BOTTOM, "networks", "tasks", "detection", "segmentation"),
    "measuring": (*BOTTOM, *TIMED),
    "training": (*BOTTOM, *TRAINED),
    "quantization": (*BOTTOM, *TRAINED, "training", "tflite"),
    "export": (*BOTTOM, *TRAINED, "training", "quantization", "tflite", "measuring"),
    "search": (*BOTTOM, *TRAINED, "training", "tflite", "measuring"),
    "android_bench": (*BOTTOM, *TIMED, "measuring"),
    "benchmark": (
        *BOTTOM,
        *TRAINED,
        *("training", "quantization", "tflite", "measuring", "export", "search"),
    ),
    "commands": (
        *BOTTOM,
        *TRAINED,
        *("training", "quantization", "tflite", "measuring", "export", "search"),
    ),
}
"""Rooms from the bottom up: each may import itself and rooms above it in this table, so there is
no ring. "commands" are the scripts and, beside mnv3_tf's rooms, the modules that no room has."""

FREE_WHEN_ASKED = ("mnv3_tf", "tasks")
"""Their functions load what they need when they are called: the Python API, and what a task names
of training and export."""

WITHOUT_TENSORFLOW = ("networks", "tasks", "tflite", "measuring", "ui", "android_bench")
TENSORFLOW = ("tensorflow", "tf_keras", "tensorflow_model_optimization")
STARTS_TENSORFLOW = ("mnv3_tf.ui.cli",)
"""Modules of those rooms that import TensorFlow within a function, for who has asked for it."""


LATE = {
    "mnv3_tf.data.sources": "a source is loaded where it is asked for",
    "mnv3_tf.measuring.phone.models": "a computer that only measures may have no LiteRT",
    "mnv3_tf.search.strategies": "a controller needs TensorFlow",
}
"""Modules that import modules of this project within a function, and why. Commands do so too, to
answer --help at once."""


@dataclass(frozen=True)
class Import:
    """One module read by another: "top" at import, "late" in a function, "types" for mypy alone."""

    importer: str
    imported: str
    line: int
    when: str

    def __str__(self) -> str:
        return f"{source(self.importer)}:{self.line} imports {self.imported} ({self.when})"


@cache
def modules() -> Mapping[str, Path]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    paths += [ROOT / f"{name}.py" for name in SCRIPTS]
    return {name_of(path.relative_to(ROOT)): path for path in paths}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def source(module: str) -> Path:
    return modules()[module].relative_to(ROOT)


def room_of(module: str) -> str:
    """Raises KeyError for a module of no room that the table has."""
    first, *rest = module.split(".")
    if first in SCRIPTS:
        return "commands"
    room = rest[0] if first == "mnv3_tf" and rest else first
    if room not in MAY_IMPORT and (ROOT / "mnv3_tf" / f"{room}.py").exists():
        return "commands"
    if room not in MAY_IMPORT:
        raise KeyError(f"{source(module)} is in no room; give its room a line in MAY_IMPORT.")
    return room


def defines_flags(module: str) -> bool:
    body = ast.parse(modules()[module].read_text()).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "define_flags" for node in body)


@cache
def imports(module: str) -> tuple[Import, ...]:
    tree = ast.parse(modules()[module].read_text())
    return tuple(_imports(module, tree, "top"))


def _imports(module: str, node: ast.AST, when: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, alias.name, child.lineno, when)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{source(module)}:{child.lineno}: name the module in full."
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                found = whole if whole in modules() else str(child.module)
                yield Import(module, found, child.lineno, when)
        elif isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from _imports(module, child, "late")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from _imports(module, child, "types")
        else:
            yield from _imports(module, child, when)


def everything() -> Iterator[Import]:
    for module in modules():
        yield from imports(module)


def test_the_table_has_no_ring():
    rooms = list(MAY_IMPORT)
    for room, others in MAY_IMPORT.items():
        later = [other for other in others if rooms.index(other) >= rooms.index(room)]
        assert not later, f"{room} may import {later}, which come after it"


def test_every_room_imports_only_what_it_may():
    wrong = []
    for found in everything():
        if found.imported not in modules():
            continue
        importer, imported = room_of(found.importer), room_of(found.imported)
        asked = found.when != "top" and importer in FREE_WHEN_ASKED
        if imported not in (importer, *MAY_IMPORT[importer]) and not asked:
            wrong.append(f"{found}: {importer} may not import {imported}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", WITHOUT_TENSORFLOW)
def test_rooms_without_tensorflow_import_none(room):
    wrong = [
        " <- ".join(map(str, reversed(chain)))
        for module in modules()
        if room_of(module) == room
        for chain in chains_to_tensorflow(module)
    ]
    assert not wrong, "\n".join(wrong)


def chains_to_tensorflow(module: str) -> Iterator[list[Import]]:
    """The imports by which loading a module, without calling it, would load TensorFlow."""
    reached: dict[str, list[Import]] = {module: []}
    waiting = [module]
    while waiting:
        one = waiting.pop()
        for found in imports(one):
            if found.when != "top":
                continue
            chain = [*reached[one], found]
            if found.imported.partition(".")[0] in TENSORFLOW:
                yield chain
            for loaded in (*packages(found.imported), found.imported):
                if loaded in modules() and loaded not in reached:
                    reached[loaded] = chain
                    waiting.append(loaded)


def packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def test_tensorflow_is_loaded_late_only_where_somebody_asks_for_it():
    wrong = [
        str(found)
        for found in everything()
        if found.imported.partition(".")[0] in TENSORFLOW
        and room_of(found.importer) in WITHOUT_TENSORFLOW
        and room_of(found.importer) not in FREE_WHEN_ASKED
        and found.importer not in STARTS_TENSORFLOW
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_import_each_other_at_their_top():
    wrong = [
        str(found)
        for found in everything()
        if found.when == "late"
        and found.imported in modules()
        and room_of(found.importer) not in FREE_WHEN_ASKED
        and found.importer not in LATE
        and not defines_flags(found.importer)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_the_table_names_is_there():
    rooms = {room_of(module) for module in modules()}
    assert rooms == set(MAY_IMPORT), "a room of the table has no module, or its module is gone"
