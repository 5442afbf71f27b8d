"""The documentation says what is there: its figures, files, commands and flags."""

import ast
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
from absl import flags

from android_bench.__main__ import COMMANDS as PHONE_COMMANDS
from benchmark import doc_pages
from benchmark.__main__ import COMMANDS as HOST_COMMANDS
from mnv3_tf.errors import UserError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*doc_pages.pages(DOCS), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
BY_FILE = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
DISPATCHED = {"benchmark": HOST_COMMANDS, "android_bench": PHONE_COMMANDS}
ROOMS = ("mnv3_tf", "benchmark", "android_bench")
OTHERS = {"pytest", "venv", "pip"}
"""Modules that are started by name and are not this project's."""


@BY_FILE
def test_tables_are_those_of_the_files(path):
    text = path.read_text()
    assert doc_pages.page(text, DOCS / "results") == text, "run make docs"


@pytest.mark.parametrize("name", sorted(doc_pages.pictures(DOCS / "results")))
def test_pictures_show_the_figures_of_the_files(name):
    shown, _ = doc_pages.pictures(DOCS / "results")[name]
    assert doc_pages.drawn_from(DOCS / "images" / name) == doc_pages.digest(shown), "run make docs"


def test_every_table_of_a_file_is_on_a_page():
    shown = {name for path in PAGES for _, name, _ in doc_pages.TABLE.findall(path.read_text())}
    assert shown == {path.stem for path in DOCS.glob("results/*.json")} | set(doc_pages.COUNTED)


def test_every_table_of_results_is_of_a_file():
    text = doc_pages.TABLE.sub("", (DOCS / "results.md").read_text())
    assert not re.search(r"^\|[-: |]+\|$", text, re.MULTILINE), "move it to docs/results"


def test_what_was_drawn_by_a_run_is_there_and_is_of_no_file():
    drawn = doc_pages.pictures(DOCS / "results")
    for path in DOCS.glob("results/*.json"):
        picture = json.loads(path.read_text()).get("picture")
        assert picture is None or (DOCS / "images" / picture).is_file()
        assert picture not in drawn


def test_a_table_without_a_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json is no table of results"):
        doc_pages.page("<!-- table: none -->\n<!-- end -->\n", tmp_path)


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@BY_FILE
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_picture_is_shown():
    text = "".join(path.read_text() for path in PAGES)
    for path in (DOCS / "images").iterdir():
        assert f"images/{path.name})" in text, path.name


@BY_FILE
def test_files_that_are_named_exist(path):
    for name in re.findall(
        r"`([\w./*]+\.py|(?:mnv3_tf|tests|docs|benchmark)/[\w./*]*)`", told(path)
    ):
        if "NAME" in name:
            continue
        places = (ROOT, ROOT / "mnv3_tf")
        found = any(list(place.glob(name)) for place in places)
        anywhere = "/" not in name and any(list((ROOT / room).rglob(name)) for room in ROOMS)
        assert found or anywhere, name


@BY_FILE
def test_modules_that_are_named_exist(path):
    for name in re.findall(r"\b((?:mnv3_tf|benchmark|android_bench)(?:\.[a-z_]\w*)+)", told(path)):
        assert is_there(name), name


def told(path: Path) -> str:
    """What a page says of the present: of a list of changes, what they changed to."""
    text = path.read_text()
    if path.name == "CHANGELOG.md":
        return re.sub(r"^\| `[^|]*\|", "|", text, flags=re.MULTILINE)
    return text


def is_there(name: str) -> bool:
    """A module, or something that one defines."""
    for length in range(name.count(".") + 1, 0, -1):
        parts = name.split(".")
        place = ROOT.joinpath(*parts[:length])
        files = [
            file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()
        ]
        if files:
            rest = parts[length:]
            return not rest or bool(re.search(rf"\b{rest[0]}\b", files[0].read_text()))
    return False


def commands(text: str) -> list[list[str]]:
    """The words after `python` of each command in a page's blocks and sentences."""
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(python [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [words for line in lines if (words := after_python(line))]


def after_python(line: str) -> list[str]:
    """Nothing where no command of Python is; a remark behind two spaces is left out."""
    _, python, rest = line.partition("python ")
    return shlex.split(rest.partition("  (")[0], comments=True) if python else []


@BY_FILE
def test_commands_exist_and_have_the_flags(path):
    for words in commands(path.read_text()):
        check_command(words)


def test_commands_in_the_help_exist_and_have_the_flags():
    """The docstring of a module that is a command."""
    checked = 0
    for folder in ROOMS:
        for path in (ROOT / folder).rglob("*.py"):
            text = ast.get_docstring(ast.parse(path.read_text())) or ""
            for line in text.replace("\\\n", " ").splitlines():
                if line.startswith("    ") and (words := after_python(line)):
                    check_command(words)
                    checked += 1
    assert checked > 20


def check_command(words: list[str]) -> None:
    module, rest = module_of(words)
    if module is None:
        return
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "", flag_values=values)
    define_flags = getattr(importlib.import_module(module), "define_flags", None)
    if define_flags is None:
        return
    define_flags(values)
    for word in rest:
        if word.startswith("--"):
            name = word[2:].partition("=")[0]
            assert name in values or name.removeprefix("no") in values, words


def module_of(words: list[str]) -> tuple[str | None, list[str]]:
    """The module that reads the flags, which are the rest; None for what is not the project's."""
    if words[0] != "-m":
        return words[0].removesuffix(".py"), words[1:]
    package, rest = words[1], words[2:]
    if package in OTHERS:
        return None, rest
    if package == "mnv3_tf.search":
        from mnv3_tf.search.__main__ import COMMANDS

        DISPATCHED[package] = COMMANDS
    if package not in DISPATCHED:
        return package, rest
    if not rest or rest[0].startswith("--"):
        return None, rest
    return DISPATCHED[package][rest[0]], rest[1:]
