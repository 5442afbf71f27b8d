"""The one measurement in which models really run, on this computer in the phone's stead."""

import json

import pytest
from phones.fake_phone import write_stand_in

from android_bench import run
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import skeleton
from mnv3_tf.ui import cli


def test_a_model_runs_and_one_that_is_broken_fails_alone(phone, tmp_path, capsys) -> None:
    spec = resolve("small", width=0.35, resolution=32, num_classes=10)
    files = {name: tmp_path / f"{name}.tflite" for name in ("fused", "broken")}
    files["fused"].write_bytes(skeleton.network(spec, "int8", "fused"))
    files["broken"].write_bytes(files["fused"].read_bytes()[:20_000])
    words = [
        f"--models={files['fused']},{files['broken']}",
        f"--serial={phone.serial}",
        f"--benchmark_binary={write_stand_in(tmp_path / 'benchmark_model')}",
        "--rounds=1",
        "--num_runs=3",
        "--cooldown=none",
        "--profile_ops",
        f"--out={tmp_path / 'out'}",
    ]
    status = cli.call(run.main, run.define_flags, ["run", *words])
    printed = capsys.readouterr()
    assert (status, "broken on" in printed.err) == (1, True)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    fused, broken = found["summary"]
    assert (broken["rounds"], broken["median_us"]) == (0, None)
    assert broken["error_kind"] == "model_load_failed"
    assert (fused["rounds"], fused["error_kind"], found["rows"][0]["count"]) == (1, None, 3)
    assert 0 < fused["median_us"] <= fused["p95_us"]
    assert fused["peak_mb"] > fused["memory_mb"] > 0
    assert fused["outside"]["HARD_SWISH"] == 19
    # The profile says the same of the graph as the line on the delegate,
    delegate, ops = fused["delegate"], fused["ops"]
    assert delegate["name"] == "xnnpack"
    assert delegate["total"] - delegate["replaced"] == sum(fused["outside"].values())
    inside = [op["avg_ms"] for op in ops if op["name"].startswith("Delegate/")]
    assert len(inside) == delegate["replaced"]
    kernels = [op["avg_ms"] for op in ops if op["type"] == "TfLiteXNNPackDelegate"]
    assert (len(kernels), delegate["partitions"]) == (20, 40)
    assert sum(inside) == pytest.approx(sum(kernels), rel=1e-3)
    # and so does the file, which was looked at here before the phone was.
    (foreseen,) = (text for text in found["warnings"] if text.startswith("fused: "))
    assert f" in {len(kernels)} pieces, cut by 19 HARD_SWISH" in foreseen
    assert foreseen.endswith("(export it with --hard_swish=composite).")
    assert f"Warning: {foreseen}" in printed.err
    assert "19 HARD_SWISH" in (tmp_path / "out" / "report.html").read_text()
