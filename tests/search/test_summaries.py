"""What a finished search leaves: a summary, a table, plots, and a page."""

import json
from pathlib import Path

import pytest
import tiny

from mnv3_tf.networks.cost import cost
from mnv3_tf.search import nas_report, netadapt_report
from mnv3_tf.search.candidates import Judged
from mnv3_tf.search.latency import CountedLatency, shown
from mnv3_tf.search.nas import Sample
from mnv3_tf.search.netadapt import Step
from mnv3_tf.search.short_training import Start
from mnv3_tf.search.space import Space

SPEC = tiny.CLASSIFIER


def judged(spec, accuracy: float, **more) -> Judged:
    return Judged(spec, cost(spec).madds, accuracy, 1.0, **more)


def left(out: Path) -> tuple[dict, str]:
    """The summary and the page."""
    return json.loads((out / "summary.json").read_text()), (out / "report.html").read_text()


def test_netadapt(tmp_path, capsys):
    seed, taken = judged(SPEC, 0.9), judged(SPEC.with_expansion(3, 40), 0.8, change="72 -> 40")
    others = (judged(SPEC.with_expansion(1, 40), 0.7), taken, judged(SPEC, 0.6))
    steps = [
        Step(others, others[0], Start(SPEC, tmp_path / "w")),
        Step(others[:2], taken, Start(SPEC, tmp_path / "w")),
    ]
    told = netadapt_report.write(
        tmp_path, seed, steps, taken, 0.5 * seed.latency, CountedLatency(), None, "none"
    )
    summary, page = left(tmp_path)
    assert summary == told
    assert (summary["search"], summary["unit"], summary["quantize"]) == (
        "netadapt",
        "MAdds",
        "none",
    )
    assert (summary["steps"], summary["proposals"]) == (2, 5)
    assert summary["target"] == 0.5 * seed.latency
    first, found, beside = summary["networks"]
    assert (first["spec_hash"], first["held_out_top1"]) == (SPEC.hash, 0.9)
    assert (found["spec_hash"], found["held_out_top1"]) == (taken.spec.hash, 0.8)
    assert found["predicted_part"] == taken.latency / seed.latency
    # The width multiplier whose latency is nearest to that of what was found.
    assert beside["held_out_top1"] is None
    for width in netadapt_report.WIDTHS:
        apart = abs(cost(SPEC.with_width(width)).madds - taken.latency)
        assert abs(beside["predicted"] - taken.latency) <= apart
    for name in ("path", "channels", "network"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64,") == 3
    assert "2, with 5 proposals" in page
    printed = capsys.readouterr().out
    assert f"NetAdapt: tiny to {shown(0.5 * seed.latency, 'MAdds')}" in printed
    assert f"Written: {tmp_path / 'spec.json'}" in printed


def test_nas(tmp_path, capsys):
    space = Space(SPEC, layers=(0,), operators=(1.0, 0.5))
    seed, small = judged(SPEC, 0.5), judged(SPEC.with_expansion(3, 40), 0.6)
    given_up = judged(SPEC.with_expansion(1, 40), 0.9, stopped=True)
    order = [seed, given_up, seed, small, seed, small, small, seed, small, small]
    rewards = [0.1, 0.3, 0.2, 0.5, 0.2, 0.6, 0.5, 0.1, 0.7, 0.8]
    samples = [Sample(one, reward) for one, reward in zip(order, rewards, strict=True)]
    told = nas_report.write(
        tmp_path,
        "ppo",
        space,
        samples,
        small,
        seed.latency,
        CountedLatency(),
        None,
        "int8",
        {"random": [0.1, 0.2]},
    )
    summary, page = left(tmp_path)
    assert summary == told
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
    for name in ("frontier", "rewards", "network"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64,") == 3
    assert "10, 3 different networks, of which 1 were stopped early" in page
    assert "0.2000 in the first fifth, 0.7500 in the last" in page
    # Both fast and accurate is one alone: what was stopped does not count.
    assert "<td>frontier</td><td>1 networks</td>" in page
    assert "Search around tiny, target" in capsys.readouterr().out
