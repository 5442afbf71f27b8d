"""What a finished search leaves: a summary, a table, plots, and a page."""

import json
from pathlib import Path

import pytest
import tiny
from PIL import Image

from mnv3_tf.networks.cost import cost
from mnv3_tf.search import plots, report
from mnv3_tf.search.candidates import Candidate, Start
from mnv3_tf.search.latency_sources import CountedLatency, shown
from mnv3_tf.search.nas import Sample
from mnv3_tf.search.netadapt import Step
from mnv3_tf.search.report import NasResult, Search
from mnv3_tf.search.settings import NasSettings, NetAdaptSettings
from mnv3_tf.search.space import Space

SPEC = tiny.CLASSIFIER


def candidate(spec, accuracy: float, **more) -> Candidate:
    return Candidate(spec, cost(spec).madds, accuracy, 1.0, **more)


def left(out: Path) -> tuple[dict, str]:
    """The summary and the page."""
    return json.loads((out / "summary.json").read_text()), (out / "report.html").read_text()


def check_pictures(out: Path, *names: str) -> None:
    """All as wide as a phone shows legibly."""
    assert {path.stem for path in out.glob("*.png")} == set(names)
    for name in names:
        with Image.open(out / f"{name}.png") as picture:
            assert (picture.format, picture.width) == ("PNG", round(plots.WIDTH * report.DPI))


def test_netadapt(tmp_path, capsys):
    start = candidate(SPEC, 0.9)
    taken = candidate(SPEC.with_expansion(3, 40), 0.8, change="72 -> 40")
    others = (candidate(SPEC.with_expansion(1, 40), 0.7), taken, candidate(SPEC, 0.6))
    steps = [
        Step(others, others[0], Start(SPEC, tmp_path / "w")),
        Step(others[:2], taken, Start(SPEC, tmp_path / "w")),
    ]
    settings = NetAdaptSettings(out=str(tmp_path), run="runs/x", target="0.5", steps=7)
    search = Search(settings, 0.5 * start.latency, CountedLatency(), None)
    returned = report.write_netadapt(search, start, steps, taken)
    summary, page = left(tmp_path)
    assert summary == returned
    assert (summary["search"], summary["unit"], summary["quantize"]) == (
        "netadapt",
        "MAdds",
        "none",
    )
    assert (summary["steps"], summary["proposals"]) == (2, 5)
    assert summary["target"] == 0.5 * start.latency
    first, found, beside = summary["networks"]
    assert (first["spec_hash"], first["held_out_top1"]) == (SPEC.hash, 0.9)
    assert (found["spec_hash"], found["held_out_top1"]) == (taken.spec.hash, 0.8)
    assert found["predicted_part"] == taken.latency / start.latency
    # The width multiplier whose latency is nearest to that of what was found.
    assert beside["held_out_top1"] is None
    for width in report.WIDTHS:
        apart = abs(cost(SPEC.with_width(width)).madds - taken.latency)
        assert abs(beside["predicted"] - taken.latency) <= apart
    check_pictures(tmp_path, "path", "channels", "network")
    again = f"--out={tmp_path} --target=0.5 --steps=7 --run=runs/x</pre>"
    assert f">python -m mnv3_tf.search netadapt {again}" in page
    assert page.count("data:image/png;base64,") == 3
    assert "2, with 5 proposals" in page
    printed = capsys.readouterr().out
    assert f"NetAdapt: tiny to {shown(0.5 * start.latency, 'MAdds')}" in printed
    assert f"Written: {tmp_path / 'spec.json'}" in printed


def test_nas(tmp_path, capsys):
    space = Space(SPEC, layers=(0,), operators=(1.0, 0.5))
    start, small = candidate(SPEC, 0.5), candidate(SPEC.with_expansion(3, 40), 0.6)
    given_up = candidate(SPEC.with_expansion(1, 40), 0.9, stopped=True)
    order = [start, given_up, start, small, start, small, small, start, small, small]
    rewards = [0.1, 0.3, 0.2, 0.5, 0.2, 0.6, 0.5, 0.1, 0.7, 0.8]
    samples = [Sample(one, reward) for one, reward in zip(order, rewards, strict=True)]
    settings = NasSettings(out=str(tmp_path), dataset="shapes", quantize="int8")
    search = Search(settings, start.latency, CountedLatency(), None)
    result = NasResult("ppo", space, samples, small, {"random": [0.1, 0.2]})
    returned = report.write_nas(search, result)
    summary, page = left(tmp_path)
    assert summary == returned
    assert (summary["strategy"], summary["quantize"]) == ("ppo", "int8")
    assert (summary["samples"], summary["trained"], summary["stopped"]) == (10, 3, 1)
    assert summary["mean_reward"] == {
        "first_fifth": pytest.approx(0.2),
        "last_fifth": pytest.approx(0.75),
        "all": pytest.approx(0.4),
    }
    assert summary["best_reward"] == 0.8
    assert summary["space_size"] == space.size
    first, found = summary["networks"]
    assert (first["held_out_top1"], found["held_out_top1"]) == (0.5, 0.6)
    assert found["spec_hash"] == small.spec.hash
    check_pictures(tmp_path, "frontier", "rewards", "network")
    assert "python -m mnv3_tf.search nas" in page
    assert page.count("data:image/png;base64,") == 3
    assert "10, 3 different networks, of which 1 were stopped early" in page
    assert "0.2000 in the first fifth, 0.7500 in the last" in page
    # Both fast and accurate is one alone: what was stopped does not count.
    assert "<td>frontier</td><td>1 networks</td>" in page
    assert "Search around tiny, target" in capsys.readouterr().out
