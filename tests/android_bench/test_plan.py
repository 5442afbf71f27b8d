"""The order of runs, and what makes two of them the same."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from android_bench import binary, plan
from android_bench.models import Model
from mnv3_tf.errors import UserError

A, B = (Model(Path(f"{name}.tflite"), name, name * 64, 10, {}) for name in "ab")


def planned(**settings) -> list[plan.Task]:
    return list(plan.tasks([A, B], plan.Settings(**settings), "phone", "binary", "c0"))


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
    }
    assert changed.keys() == {field.name for field in fields(one)}
    keys = {replace(one, **{name: value}).key for name, value in changed.items()} | {one.key}
    assert len(keys) == len(changed) + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threads": ()}, "--threads is empty"),
        ({"threads": (0,)}, "--threads=0 is too small"),
        ({"rounds": 0}, "--rounds=0 is too small"),
        ({"num_runs": 0}, "--num_runs=0 is too small"),
        ({"timeout_s": 0}, "--timeout=0 is too short"),
        ({"cores": "fast"}, "--cores=fast is unknown"),
        ({"cores": "0"}, "--cores=0 is unknown"),
        ({"cores": "0xf0"}, "--cores=0xf0 is unknown"),
    ],
)
def test_values_out_of_range_are_refused(settings, message) -> None:
    with pytest.raises(UserError, match=message):
        plan.Settings(**settings)


def test_flags_are_translated_for_each_program() -> None:
    one = planned()[0].configuration
    assert "--use_xnnpack=true" in one.arguments(binary.TFLITE, "/m")
    assert "--use_cpu=true" in one.arguments(binary.LITERT, "/m")
    profile = one.asking(plan.PROFILE)
    assert "--enable_op_profiling=true" in profile.arguments(binary.TFLITE, "/m")
    assert "--use_profiler=true" in profile.arguments(binary.LITERT, "/m")
    with pytest.raises(UserError, match="--delegate=none is not in this benchmark binary"):
        replace(one, delegate="none").arguments(binary.LITERT, "/m")
