"""Files compared by counts: rows, ratios, and what `benchmark arm` and `latency` say of them."""

import json

import pytest
import tiny
from commands import call, last_json
from refusals import check_command, refused

from benchmark import arm, compare, latency
from mnv3_tf.measuring.arm import count_results, installation
from mnv3_tf.measuring.arm.count_results import CountSettings
from mnv3_tf.measuring.arm.counting import Counter
from mnv3_tf.measuring.arm.emulator import Emulator
from mnv3_tf.measuring.arm.estimate import Estimate
from mnv3_tf.networks.cost import cost
from mnv3_tf.tflite import skeleton

MILLIONS = {"cortex-a76": (8, 4), "cortex-a73": (10, 11)}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A float and an int8 one; a core takes MILLIONS of them, and one million of any part."""

    def count(self, paths, core):
        millions = MILLIONS[core.name] if len(paths) == 2 else [1] * len(paths)
        return [1_000_000 * number for number in millions]

    monkeypatch.setattr(Counter, "instructions", count)
    monkeypatch.setattr(installation, "open_emulator", lambda: Emulator(tmp_path))
    paths = []
    for quantize in ("none", "int8"):
        paths.append(tmp_path / f"{quantize}.tflite")
        paths[-1].write_bytes(skeleton.network(tiny.CLASSIFIER, quantize))
    return [str(path) for path in paths]


def test_ratios_are_to_the_first_file_on_the_same_core(files):
    settings = CountSettings(("arm:cortex-a76", "arm:pixel2", "arm:pixel4"))
    rows = count_results.count_files(files, settings)["models"]
    assert [row["device"] for row in rows[::2]] == list(settings.device)
    assert [row["ratio"] for row in rows] == [1, 0.5, 1, 1.1, 1, 0.5]
    assert {row["macs"] for row in rows} == {cost(tiny.CLASSIFIER).madds}
    assert rows[1]["weight_bytes"] < rows[0]["weight_bytes"] / 2
    assert [row["quantize"] for row in rows[:2]] == ["none", "int8"]


def test_without_an_estimate_there_are_no_milliseconds(files, monkeypatch):
    monkeypatch.setattr(count_results, "estimate", lambda count, device, delegate: None)
    row = count_results.count_files(files, CountSettings())["models"][0]
    assert (row["ms"], row["ms_low"], row["ms_high"], row["grade"]) == (None, None, None, "none")
    assert row["extrapolated"] is None


def test_an_estimate_is_in_the_row_and_its_words_below_the_table(files, monkeypatch, capsys):
    made = Estimate(4.0, 3.5, 4.6, "borrowed", "int8 of V3 rests on V1 and V2")
    monkeypatch.setattr(count_results, "estimate", lambda count, device, delegate: made)
    assert call(arm, f"--models={','.join(files)}", "--json") == 0
    out = capsys.readouterr().out
    row = last_json(out)["models"][1]
    assert (row["ms"], row["ms_low"], row["ms_high"]) == (4.0, 3.5, 4.6)
    assert out.count("Extrapolated: int8 of V3 rests on V1 and V2.") == 1
    assert "borrowed" in out


def test_results_say_what_makes_them_again(files, tmp_path, capsys):
    out = tmp_path / "out"
    words = [f"--models={','.join(files)}", "--device=arm:pixel2,arm:pixel4"]
    assert call(arm, *words, f"--out={out}") == 0
    results = json.loads((out / "results.json").read_text())
    assert results["command"] == " ".join(["python -m benchmark arm", *words])
    assert "Snapdragon 835" in results["devices"]["arm:pixel2"]
    assert (out / "instructions.png").stat().st_size > 5000
    assert "arm:pixel4 (cortex-a76, 2.84 GHz)" in capsys.readouterr().out


def test_shares_are_of_the_whole(files, capsys):
    assert call(arm, f"--models={','.join(files)}", "--parts", "--json") == 0
    out = capsys.readouterr().out
    counted = last_json(out)["models"][1]["operators"]
    assert counted["CONV_2D"] % 1_000_000 == 0
    assert counted["ADD, MUL"] == 7_000_000
    assert f"{counted['CONV_2D'] / 4e6:.1%}".replace("%", " %") in out
    with refused("--parts", "--input_shape"):
        CountSettings(parts=True, input_shape=(1, 64, 64, 3))


def test_latency_counts_on_arm(files, capsys):
    words = [f"--models={','.join(files)}", "--json"]
    assert call(latency, *words, "--device=arm:pixel2") == 0
    assert [row["ratio"] for row in last_json(capsys.readouterr().out)["models"]] == [1, 1.1]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--device=SERIAL"], ["--device=SERIAL", "android_bench run"]),
        (["--device=arm:cortex-a76", "--threads=4"], ["--threads=4"]),
        (["--device=arm:cortex-b1"], ["--device=arm:cortex-b1", "cortex-a76"]),
        (["--device=arm:cortex-a76", "--models="], ["--models"]),
    ],
)
def test_what_cannot_be_counted_is_refused(files, tmp_path, capsys, words, named):
    check_command(latency, [f"--models={files[0]}", *words], named, capsys, tmp_path)


@pytest.mark.parametrize(
    ("instructions", "verdict", "status"),
    [
        (8_000_100, "no difference", 0),
        (8_030_000, "slower", 0),
        (8_050_000, "slower", 1),
        (7_990_000, "faster", 0),
    ],
)
def test_counts_are_guarded_to_half_a_percent(
    files, tmp_path, capsys, instructions, verdict, status
):
    """Of eight million; a hundred thousandth is within what two runs differ by."""
    before, after = tmp_path / "before", tmp_path / "after"
    assert call(arm, f"--models={','.join(files)}", f"--out={before}") == 0
    results = json.loads((before / "results.json").read_text())
    results["models"][0]["instructions"] = instructions
    after.mkdir()
    (after / "results.json").write_text(json.dumps(results))
    capsys.readouterr()
    assert call(compare, before, after, "--json") == status
    told = last_json(capsys.readouterr().out)
    assert told["bound"] == 0.5
    change = told["changes"][0]
    assert (change["verdict"], change["regression"]) == (verdict, bool(status))
    assert (change["before_instructions"], change["after_instructions"]) == (8e6, instructions)
    assert told["changes"][1]["verdict"] == "no difference"


def test_counts_are_not_compared_with_times(files, tmp_path, capsys):
    assert call(arm, f"--models={files[0]},{files[1]}", f"--out={tmp_path / 'counts'}") == 0
    capsys.readouterr()
    machine = {"cpu": "", "versions": {"ai-edge-litert": ""}}
    settings = {"threads": 1, "delegate": True}
    row = {"name": "none", "median_us": 1.0, "rounds_us": [1.0]}
    times = {"schema_version": 1, "machine": machine, "settings": settings, "models": [row]}
    (tmp_path / "times.json").write_text(json.dumps(times))
    named = ["counts is in million instructions", "times.json in ms"]
    words = [tmp_path / "counts", tmp_path / "times.json"]
    check_command(compare, words, named, capsys, tmp_path)
