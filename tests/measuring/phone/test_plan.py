"""The order of runs, and what makes two of them the same."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from refusals import refused

from mnv3_tf.measuring.phone import binary, plan
from mnv3_tf.measuring.phone.models import Model

A, B = (Model(Path(f"{name}.tflite"), name, name * 64, 10, {}) for name in "ab")


def planned(**settings) -> list[plan.PlannedRun]:
    return list(plan.planned_runs([A, B], plan.PhoneSettings(**settings), "phone", "binary", "c0"))


def test_rounds_are_interleaved_and_memory_has_runs_of_its_own() -> None:
    order = [(t.model.name, t.round, t.configuration.purpose) for t in planned(rounds=2)]
    assert order == [
        ("a", 1, "timing"),
        ("b", 1, "timing"),
        ("a", 2, "timing"),
        ("b", 2, "timing"),
        ("a", 1, "memory"),
        ("b", 1, "memory"),
    ]
    asked = [t.configuration.purpose for t in planned(rounds=1, profile_ops=True)]
    assert asked == ["timing"] * 2 + ["memory"] * 2 + ["profile"] * 2


def test_a_configuration_has_the_settings() -> None:
    assert planned(num_runs=7, delegate="gpu", fixed_performance=True)[1].configuration == (
        plan.Configuration("phone", "binary", "b" * 64, 1, "c0", "gpu", 7, True, plan.TIMING)
    )


def test_what_is_measured_unless_told_otherwise() -> None:
    assert plan.PhoneSettings() == plan.PhoneSettings(
        threads=(1,),
        rounds=10,
        num_runs=50,
        cores="big",
        delegate="xnnpack",
        cooldown_s=None,
        profile_ops=False,
        fixed_performance=False,
        timeout_s=300.0,
        reconnect_s=600.0,
    )


def test_threads_are_swept_within_a_round() -> None:
    order = [t.configuration.threads for t in planned(rounds=1, threads=(1, 2))]
    assert order[:4] == [1, 1, 2, 2]


def test_whatever_changes_a_number_changes_the_key() -> None:
    one = planned()[0].configuration
    changed = {
        "phone": "other",
        "binary": "other",
        "sha256": "other",
        "threads": 4,
        "mask": "f",
        "delegate": "none",
        "num_runs": 51,
        "fixed_performance": True,
        "purpose": plan.MEMORY,
        "layer": ("image", "1,8,8,3"),
    }
    assert changed.keys() == {field.name for field in fields(one)}
    keys = {replace(one, **{name: value}).key for name, value in changed.items()} | {one.key}
    assert len(keys) == len(changed) + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threads": ()}, "--threads is empty"),
        ({"threads": (2, 0)}, "--threads=0 is too small"),
        ({"rounds": 0}, "--rounds=0 is too small"),
        ({"num_runs": 0}, "--num_runs=0 is too small"),
        ({"timeout_s": 0}, "--timeout=0 is too small"),
        ({"cores": "fast"}, "--cores=fast is unknown"),
        ({"cores": "0"}, "--cores=0 is unknown"),
        ({"cores": "0xf0"}, "--cores=0xf0 is unknown"),
    ],
)
def test_values_out_of_range_are_refused(settings, message) -> None:
    with refused(message):
        plan.PhoneSettings(**settings)


@pytest.mark.parametrize("settings", [{"rounds": 1, "num_runs": 1, "timeout_s": 0.1, "cores": "1"}])
def test_the_least_values_are_taken(settings) -> None:
    assert plan.PhoneSettings(**settings).cores == "1"


def test_flags_are_translated_for_each_program() -> None:
    one = planned()[0].configuration
    common = ["--graph=/m", "--num_threads=1", "--num_runs=50"]
    assert one.arguments(binary.TFLITE, "/m") == [*common, "--use_xnnpack=true"]
    assert one.arguments(binary.LITERT, "/m") == [*common, "--use_cpu=true"]
    for delegate, flag in (
        ("none", "--use_xnnpack=false"),
        ("gpu", "--use_gpu=true"),
        ("nnapi", "--use_nnapi=true"),
    ):
        changed = replace(one, delegate=delegate, threads=4, num_runs=7)
        expected = ["--graph=/m", "--num_threads=4", "--num_runs=7", flag]
        assert changed.arguments(binary.TFLITE, "/m") == expected
    assert replace(one, delegate="gpu").arguments(binary.LITERT, "/m")[-1] == "--use_gpu=true"
    profile, memory = one.asking(plan.PROFILE), one.asking(plan.MEMORY)
    assert profile.arguments(binary.TFLITE, "/m")[4:] == ["--enable_op_profiling=true"]
    assert profile.arguments(binary.LITERT, "/m")[4:] == ["--use_profiler=true"]
    for flavour in (binary.TFLITE, binary.LITERT):
        assert memory.arguments(flavour, "/m")[4:] == ["--report_peak_memory_footprint=true"]
    with refused("--delegate=none is not in this benchmark binary"):
        replace(one, delegate="none").arguments(binary.LITERT, "/m")
