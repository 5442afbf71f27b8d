"""The page of a search."""

import base64
import re
from pathlib import Path

import pytest
from PIL import Image

from mnv3_tf.search.report import write_report

COLUMNS = ("change", "latency")


@pytest.fixture
def pictures(tmp_path) -> list[tuple[Path, str]]:
    found = []
    for name in ("small", "large"):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (8, len(name))).save(path)
        found.append((path, f"The network {name}"))
    return found


def write(folder: Path, pictures: list[tuple[Path, str]], rows=(("3: 96 -> 88", "2 ms"),)) -> str:
    facts = [("target", "1 < 2"), ("data", "shapes")]
    commands = ["python -m mnv3_tf.search netadapt --target=0.75", "python train.py --model=x"]
    path = write_report(folder, "NetAdapt & more", facts, (COLUMNS, rows), pictures, commands)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_page_has_all_and_needs_nothing_else(tmp_path, pictures):
    text = write(tmp_path / "out", pictures)
    inside = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)"', text)
    assert [(alt, base64.b64decode(data)) for alt, data in inside] == [
        (caption, path.read_bytes()) for path, caption in pictures
    ]
    assert not re.search(r"<(?:script|link|iframe)|(?:src|href)=\"(?!data:)|url\(|https?:", text)
    for told in (
        "<h1>NetAdapt &amp; more</h1>",
        "<td>target</td><td>1 &lt; 2</td>",
        "<th>change</th><th>latency</th>",
        "<td>3: 96 -&gt; 88</td><td>2 ms</td>",
        "python -m mnv3_tf.search netadapt --target=0.75\npython train.py --model=x",
        'name="viewport" content="width=device-width',
    ):
        assert told in text


def test_wide_tables_and_commands_scroll_by_themselves(tmp_path):
    text = write(tmp_path, [])
    assert '<div class="scroll"><table class="lines">' in text
    assert '<pre class="scroll">' in text


def test_a_table_without_rows_is_left_out(tmp_path):
    assert "change" not in write(tmp_path, [], rows=())


def test_what_was_there_stays_where_a_picture_is_missing(tmp_path):
    (tmp_path / "report.html").write_text("the last one")
    with pytest.raises(FileNotFoundError):
        write(tmp_path, [(tmp_path / "absent.png", "")])
    assert (tmp_path / "report.html").read_text() == "the last one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_page_replaces_the_last_one(tmp_path, pictures):
    first = write(tmp_path, pictures)
    assert write(tmp_path, pictures[:1]).count("<img") == first.count("<img") - 1
    assert not list(tmp_path.glob(".report*"))
