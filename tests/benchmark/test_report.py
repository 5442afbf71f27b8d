"""The page of a folder of results."""

import json
import re
import shutil
from pathlib import Path

import pytest
from refusals import check_command

from benchmark import paper, paper_tables, profile, report
from mnv3_tf.measuring.timers import HostTimer
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import resolve
from mnv3_tf.search.latency_model import LatencyTable
from mnv3_tf.tflite import skeleton
from mnv3_tf.ui import cli


def run(module, *flags: object) -> int:
    return cli.call(module.main, module.define_flags, ["benchmark", *map(str, flags)])


def nanoseconds_a_byte(self, paths, burst_ms) -> list[float]:
    """Instead of `HostTimer.time`."""
    return [path.stat().st_size / 1e3 for path in paths]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Of one table of the paper, a profile and a latency table; times are made up."""
    folder = tmp_path_factory.mktemp("results")
    machine = {
        "cpu": "A processor",
        "cores": 4,
        "clock_mhz": 2400.4,
        "load_before": [0.123, 9.0, 9.0],
        "load_after": [1.456, 9.0, 9.0],
        "platform": "Some system",
        "versions": {"python": "3.11", "numpy": "1.2"},
    }
    rows = [
        paper.describe(row)
        | {"full_pace_us": 1000.0, "ci_us": [900.0, 1100.0], "ratio": 1.0}
        | {"top1": None, "top1_origin": None}
        for row in paper_tables.redesigns()
    ]
    table = paper_tables.TABLES["redesigns"]
    redesigns = {
        "title": table.title,
        "note": table.note,
        "command": "python -m benchmark paper --tables=redesigns",
        "date": "long ago",
        "machine": machine,
        "settings": {"threads": 2, "rounds": 40, "burst_ms": 50},
        "rows": rows,
        "warnings": ["it was busy."],
    }
    (folder / "paper").mkdir()
    (folder / "paper" / "redesigns.json").write_text(json.dumps(redesigns))
    for name in ("paper/redesigns.png", "paper/frontier.png", "latency_table.png"):
        (folder / name).write_bytes(b"a plot")
    errors = {"networks": 40, "median": 0.0123, "p95": 0.04, "spearman": 0.98765}
    found = LatencyTable({}, errors={"none": errors | {"sum_of_parts": {"median": 0.2}}})
    (folder / "latency_table.json").write_text(found.to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostTimer, "time", nanoseconds_a_byte)
        flags = ("--models=small_minimalistic", "--resolution=32", "--rounds=3", "--threads=2")
        assert run(profile, *flags, f"--out={folder / 'profile'}") == 0
    return folder


def test_the_page_has_all_and_needs_nothing_else(results, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert run(report, f"--results={results}", f"--out={out}") == 0
    assert capsys.readouterr().out == f"Report: {out}\n"
    text = out.read_text()
    assert not re.search(r"<(?:script|link|iframe)|(?:src|href)=\"(?!data:)", text)
    assert text.count("data:image/png") == 4
    for told in (
        "Section 5",
        "<tr><td>old last stage</td><td>published: +7 ms, +30 M MAdds on Pixel 1</td></tr>",
        "python -m benchmark paper --tables=redesigns",
        "Warning: it was busy.",
        "Each row undoes one change of Large",
        "<td>large</td><td>float</td><td>1.00</td><td>10.0</td><td>1.000</td>",
        "<tr><td>processor</td><td>A processor, 4 cores</td></tr>",
        "<tr><td>clock</td><td>2400 MHz</td></tr>",
        "<tr><td>load</td><td>0.12 before, 1.46 after</td></tr>",
        "<tr><td>system</td><td>Some system</td></tr>",
        "<tr><td>versions</td><td>python 3.11, numpy 1.2</td></tr>",
        "<tr><td>threads</td><td>2</td></tr>",
        "<tr><td>rounds</td><td>40 of 50 ms</td></tr>",
        "<tr><td>measured</td><td>long ago</td></tr>",
        "Figures 1 and 7: the frontiers",
        "<td>1x1 convolution</td>",
        "<th>small_minimalistic float</th><th>small_minimalistic int8</th>",
        "The latency table",
        "<td>float</td><td>40</td><td>1.2%</td><td>4.0%</td><td>0.988</td><td>20.0%</td>",
    ):
        assert told in text, told
    assert text.count("published: ") == 3  # of float alone


def test_by_default_the_page_is_beside_the_results(tmp_path):
    (tmp_path / "latency_table.png").write_bytes(b"a plot")
    (tmp_path / "latency_table.json").write_text(LatencyTable({}).to_json())
    assert run(report, f"--results={tmp_path}") == 0
    assert "The latency table" in (tmp_path / "report.html").read_text()


def test_a_clock_that_is_not_told(results):
    result = json.loads((results / "paper" / "redesigns.json").read_text())
    result["machine"]["clock_mhz"] = None
    assert dict(report.machine_rows(result))["clock"] == "not told"


def test_what_is_absent_is_left_out(results, tmp_path):
    shutil.copytree(results / "profile", tmp_path / "profile")
    assert run(report, f"--results={tmp_path}", f"--out={tmp_path / 'page.html'}") == 0
    text = (tmp_path / "page.html").read_text()
    assert text.count("data:image/png") == 1
    assert "Where the time goes" in text
    assert "The latency table" not in text


def test_types_of_operators_sum_to_all(results):
    found = json.loads((results / "profile" / "profile.json").read_text())
    assert found["schema_version"] == profile.SCHEMA_VERSION == 1
    assert (found["conditions"]["rounds"], found["conditions"]["threads"]) == (3, 2)
    (row, other) = found["rows"]
    assert (row["network"], row["quantize"], other["quantize"]) == (
        "small_minimalistic",
        "none",
        "int8",
    )
    listed = operators(resolve("small_minimalistic", resolution=32))
    assert set(row["us"]) == set(profile.types(listed))
    assert row["us"]["squeeze-excite"] == 0  # a minimalistic network has none
    assert all(us > 0 for name, us in row["us"].items() if name != "squeeze-excite")
    expected = dict.fromkeys(profile.types(listed), 0.0)
    for op in listed:
        expected[profile.type_of(op)] += len(skeleton.single(op)) / 1e3
    assert row["us"] == pytest.approx(expected)
    whole = skeleton.network(resolve("small_minimalistic", resolution=32), "int8")
    assert other["whole_us"] == len(whole) / 1e3
    assert (results / "profile" / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_operators_and_networks_have_turns_of_their_own(monkeypatch):
    turns = []

    def time(self, paths, burst_ms):
        turns.append((len(paths), burst_ms))
        return [1.0] * len(paths)

    monkeypatch.setattr(HostTimer, "time", time)
    spec = resolve("small_minimalistic", resolution=32)
    profile.profile("small", spec, "none", HostTimer(1, 1))
    assert turns == [(len(operators(spec)), 4.0), (1, 60.0)]


def test_each_operator_has_its_type():
    listed = operators(resolve("small", resolution=32))
    told = {op.name: profile.type_of(op) for op in listed}
    assert set(told.values()) == set(profile.types(listed))
    for name, kind in told.items():
        if "squeeze_excite" in name:
            assert kind == "squeeze-excite"
        elif "depthwise" in name:
            assert kind == "depthwise"
        elif "expand" in name or "project" in name:
            assert kind in ("1x1 convolution", "add")
    assert profile.types(listed)[4:] == ["head", "add"]


def test_a_profile_needs_a_folder(capsys, tmp_path):
    check_command(profile, [], "Where to? Give --out=DIR.", capsys, tmp_path)


@pytest.mark.parametrize(
    ("task", "heads"),
    [("detect", ["extras", "box head", "class head"]), ("segment", ["head", "resize"])],
)
def test_every_operator_of_other_tasks_has_a_type(task, heads):
    from mnv3_tf.networks.cost import operators
    from mnv3_tf.tasks.specs import for_phones, resolve_spec

    for model in ("large", "mnasnet_a1"):
        listed = operators(for_phones(resolve_spec(task, model)))
        assert set(map(profile.type_of, listed)) == set(profile.types(listed))
        assert profile.types(listed)[4:] == [*heads, "add"]


@pytest.mark.slow
def test_a_profile_of_another_task(tmp_path, capsys):
    """By the real runtime."""
    flags = ("--task=segment", "--models=small_minimalistic", "--resolution=32x64", "--rounds=1")
    assert run(profile, *flags, f"--out={tmp_path}") == 0
    row, _ = json.loads((tmp_path / "profile.json").read_text())["rows"]
    assert row["us"]["resize"] > 0
    assert "resize" in capsys.readouterr().out


def test_bad_folders_get_one_sentence(tmp_path, capsys):
    assert run(report, f"--results={tmp_path / 'nowhere'}") == 2
    assert "holds no results; make some with python -m benchmark paper" in capsys.readouterr().err
    (tmp_path / "paper").mkdir()
    for name in ("paper/networks.json", "profile/profile.json", "latency_table.json"):
        for content in ('{"cut": ', "[1]"):
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
            assert run(report, f"--results={tmp_path}") == 2
            err = capsys.readouterr().err
            assert str(file) in err
            assert "measure it again" in err
            assert err.count("\n") == 1
        file.unlink()
