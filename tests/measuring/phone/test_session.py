"""A whole measurement of one phone, and what can come between."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from phones.fake_phone import PROPERTIES, FakePhone, foreign_binary, write_binary
from refusals import refused
from sessions import ONE_US, OTHER_US, Finished, open_session

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.journal import locked
from mnv3_tf.measuring.phone import binary as binaries
from mnv3_tf.measuring.phone import fixed_performance, outliers, session, state
from mnv3_tf.measuring.phone.adb import PhoneError


def journal(measured: session.Session, purpose: str = "timing") -> list[dict]:
    return [entry for entry in measured.journal.entries() if entry["purpose"] == purpose]


def left_running(phone: FakePhone) -> bool:
    """Whether a benchmark goes on on the phone."""
    words = ["pgrep", "-f", "--", f"--graph={phone.root}"]
    return subprocess.run(words, capture_output=True).returncode == 0


# -- a session in which nothing comes between ------------------------------------------------


def test_rounds_are_interleaved_on_the_big_cores(finished: Finished) -> None:
    phone, measured, *_ = finished
    one, other = (model.sha256 for model in measured.models)
    order = [one, other] * 4 + [one, one, other] + [one, other] * 2  # the fifth was repeated
    assert [sha for text in phone.runs for sha in (one, other) if sha in text] == order
    assert set(phone.masks) == {"c0"}
    entries = measured.journal.entries()
    assert [entry["sha256"] for entry in entries] == order
    assert [e["purpose"] for e in entries] == ["timing"] * 11 + ["memory"] * 2 + ["profile"] * 2
    assert [e["round"] for e in entries] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 1, 1, 1, 1]
    assert {entry["status"] for entry in entries} == {"ok"}


def test_each_run_is_known_with_its_conditions(finished: Finished) -> None:
    phone, measured, *_ = finished
    entries = measured.journal.entries()
    first = entries[0]
    assert first["serial"] == phone.serial
    assert first["bytes"] == measured.models[0].path.stat().st_size
    assert first["waited_s"] == 10.0
    assert first["mean_khz"] == 2802000
    assert [first[when]["celsius"] for when in ("before", "after")] == [27.5, 28.5]
    assert first["after"] == {
        "thermal_status": 0,
        "celsius": 28.5,
        "battery_percent": 87,
        "charging": True,
        "screen_on": False,
        "free_mb": 4005,
        "current_khz": 1401000,
        "allowed_khz": 2802000,
        "residence": {300000: 100, 2802000: 1200},
    }
    assert first["result"]["inference"]["count"] == 3
    assert [session.inference_us(entry["result"]) for entry in journal(measured)[:4]] == [
        ONE_US[0],
        OTHER_US[0],
        ONE_US[1],
        OTHER_US[1],
    ]


def test_the_command_and_its_log_are_kept(finished: Finished) -> None:
    phone, measured, *_ = finished
    entry = measured.journal.entries()[0]
    assert entry["command"].startswith(f"{phone.client} -s {phone.serial} shell ")
    assert "--num_threads=1 --num_runs=3 --use_xnnpack=true" in shlex.split(entry["command"])[-1]
    log = measured.logs.parent / entry["log"]
    assert log.read_text().startswith(f"$ {entry['command']}\n")
    assert "Inference timings in us" in log.read_text()
    assert len(list(measured.logs.iterdir())) >= 14
    assert "-1t-timing-01-" in log.name


def test_memory_and_operators_are_asked_for_in_runs_of_their_own(finished: Finished) -> None:
    _, measured, *_ = finished
    timing, memory, profile = (
        journal(measured, kind)[0]["result"] for kind in ("timing", "memory", "profile")
    )
    assert timing["memory"] == dict.fromkeys(("init_mb", "overall_mb", "peak_mb"))
    assert memory["memory"] == {"init_mb": 10, "overall_mb": 20, "peak_mb": 40}
    assert timing["ops"] is memory["ops"] is None
    types = {op["type"] for op in profile["ops"]}
    assert types == {"TfLiteXNNPackDelegate", "DELEGATE_PROFILED", "HARD_SWISH"}
    assert timing["delegate"] == {
        "name": "xnnpack",
        "replaced": 4,
        "total": 5,
        "partitions": 3,
    }


def test_a_round_that_was_interfered_with_is_repeated(finished: Finished) -> None:
    _, measured, said, _ = finished
    ran = [entry for entry in journal(measured) if entry["sha256"] == measured.models[0].sha256]
    assert [entry["rejected"] is None for entry in ran] == [True] * 4 + [False, True]
    assert ran[4]["rejected"].startswith("3.94 times the median of the other runs")
    assert [text for text in said if "round 5 set aside: 3.94 times" in text]


def test_a_name_full_of_shell_is_only_a_name(finished: Finished) -> None:
    phone, *_ = finished
    assert not [*phone.root.rglob("pwned"), *Path().glob("pwned")]


def test_its_progress_is_told(finished: Finished) -> None:
    done = [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14]  # the ninth run was repeated
    assert finished.progress == [(count, 14) for count in done]


def test_what_was_left_running_is_ended_first(finished: Finished) -> None:
    phone, *_ = finished
    endings = [shlex.split(text.partition(";")[0]) for text in phone.commands if "pkill" in text]
    assert len(endings) == 1
    program, option, pattern = endings[0]
    assert (program, option) == ("pkill", "-f")
    assert re.search(pattern, phone.runs[0])
    assert not re.search(pattern, shlex.join(endings[0]))


# -- what is there already --------------------------------------------------------------------


def test_the_same_command_does_nothing_more(phone, measure, model_files, binary, tmp_path) -> None:
    measure(phone, files=model_files)
    done, pushed = len(phone.runs), len(phone.pushed)
    assert (done, pushed) == (4, 3)  # a round and the memory of two models; they and the binary
    again, progress = open_session(phone, model_files, binary, tmp_path / "out", print), []
    again.advance = lambda *of: progress.append(of)
    again.run()
    assert (len(phone.runs), len(phone.pushed)) == (done, pushed)
    assert progress == [(4, 4)]
    measure(phone, files=model_files, rounds=2)
    assert len(phone.runs) == done + 2


def test_a_retrained_model_of_the_same_name_and_size_is_pushed(
    phone, measure, model_files, tmp_path
) -> None:
    file = tmp_path / "model.tflite"
    for source in model_files:
        shutil.copy(source, file)
        model = measure(phone, files=[file]).models[0]
        assert phone.local(model.on_phone).read_bytes() == source.read_bytes()
        assert sum(model.sha256 in text for text in phone.runs) == 2  # a round and the memory
    assert not [*phone.root.rglob("*.part")]


def test_a_damaged_copy_on_the_phone_is_replaced(phone, measure, model_files) -> None:
    copy = phone.local(measure(phone).models[0].on_phone)
    copy.write_bytes(bytes(copy.stat().st_size))
    measure(phone, rounds=2)
    assert copy.read_bytes() == model_files[0].read_bytes()


def test_two_measurements_never_share_a_phone(phone, measure) -> None:
    with locked(phone.serial), refused(phone.serial, "in use by another measurement", by=Failure):
        measure(phone)


# -- the cable ---------------------------------------------------------------------------------


def test_unplugged_in_a_round_and_plugged_in_again(phone, measure, said) -> None:
    phone.unplug_at, phone.back_after = "--graph=", 3.0
    measured = measure(phone)
    assert [entry["status"] for entry in measured.journal.entries()] == ["ok"] * 2
    assert [f"{phone.serial} is gone" in said[0], said[1]] == [True, f"{phone.serial} is back"]
    assert sum("pkill" in text for text in phone.commands) == 2  # what went on by itself is ended


def test_a_phone_that_stays_away_ends_it_with_all_kept(phone, measure) -> None:
    first = measure(phone)
    phone.unplug_at = "--graph="
    with refused("did not come back within 2 s", "goes on from here", by=Failure):
        measure(phone, rounds=2, reconnect_s=2.0)
    assert len(first.journal.entries()) == 2


# -- heat --------------------------------------------------------------------------------------


def test_it_waits_until_the_phone_is_cool(plug_in, measure) -> None:
    warm = plug_in(heat_per_run=4.0, cooling_s=60.0)
    warm.celsius = 25.0
    entries = measure(warm, cooldown_s=None).journal.entries()
    # From 29 °C to two degrees more than at first, looking every five seconds.
    assert [entry["waited_s"] for entry in entries] == [0.0, 45.0]
    assert [entry["before"]["celsius"] for entry in entries] == [25.0, 26.9]


def test_a_phone_that_stays_warm_is_told(plug_in, measure, said, monkeypatch) -> None:
    monkeypatch.setattr(state, "POLL_S", 250.0)
    warm = plug_in(heat_per_run=5.0, cooling_s=1e6)
    measured = measure(warm, cooldown_s=None)
    assert said == [f"{warm.serial} did not cool down in 600 s (33.0 °C, 28.0 °C at first)"]
    assert [entry["waited_s"] for entry in measured.journal.entries()] == [0.0, 600.0]


@pytest.mark.parametrize(
    ("denied", "reason"),
    [("nothing", "thermal status 3"), ("thermalservice", "clock limited to 1961 MHz")],
)
def test_throttled_rounds_are_repeated_a_bounded_number_of_times(
    plug_in, measure, denied, reason
) -> None:
    hot = plug_in(heat_per_run=40.0, cooling_s=1e6)
    hot.deny(denied)
    timed = journal(measure(hot))
    assert len(timed) == outliers.ATTEMPTS == 3
    assert [entry["rejected"] for entry in timed] == [
        f"{reason} after the run",
        *[f"{reason} before the run"] * 2,
    ]
    assert session.inference_us(timed[1]["result"]) == pytest.approx(1000 / 0.7, abs=1)
    assert timed[1]["after"]["allowed_khz"] == int(2802000 * 0.7)


# -- Android's fixed-performance mode ---------------------------------------------------------


def test_the_mode_is_taken_back(phone, measure, tmp_path) -> None:
    measure(phone, fixed_performance=True)
    assert phone.fixed_performance == ["true", "false"]
    assert not phone.local(fixed_performance.MARK).exists()
    program = write_binary(tmp_path / "unknown", fault="unknown_flag")
    with refused("unconsumed_flag", "see logs/", "--benchmark_binary", by=Failure):
        measure(phone, program, fixed_performance=True)
    assert phone.fixed_performance == ["true", "false"] * 2
    phone.local(fixed_performance.MARK).touch()  # what a killed session leaves
    measure(phone, rounds=2)
    assert phone.fixed_performance == ["true", "false"] * 2 + ["false"]


def test_a_mode_that_stays_on_or_is_refused_is_told(phone, measure, said, monkeypatch) -> None:
    phone.unplug_at, phone.back_after = "enabled false", 1.0
    measure(phone, fixed_performance=True)
    shell = f"adb -s {phone.serial} shell"
    assert said[-1].startswith("The fixed-performance mode is still on (")
    assert said[-1].endswith(f"; run {shell} cmd power set-fixed-performance-mode-enabled false")
    phone.clock.wait(1.0)
    assert phone.adb().wait_until_back(10)
    monkeypatch.setattr(fixed_performance, "COMMAND", ("cmd", "power", "unheard-of"))
    with refused("Pixel 6 refuses the fixed-performance mode", by=Failure):
        measure(phone, rounds=2, fixed_performance=True)


@pytest.mark.parametrize(("sdk", "refuses"), [("29", True), ("30", False)])
def test_the_mode_needs_android_11(plug_in, measure, sdk, refuses) -> None:
    phone = plug_in(properties=PROPERTIES | {"ro.build.version.sdk": sdk})
    if refuses:
        with refused("Android 13", "--fixed_performance needs 11", by=Failure):
            measure(phone, fixed_performance=True)
        assert phone.fixed_performance == []
    else:
        measure(phone, fixed_performance=True)
        assert phone.fixed_performance == ["true", "false"]


# -- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "settings", "kind", "tries"),
    [
        ("crash", {}, "crashed", 3),
        ("killed", {}, "out_of_memory", 3),
        ("hang", {"timeout_s": 0.3}, "timeout", 3),
        ("fallback", {"delegate": "gpu"}, "delegate_fallback", 1),
        ("fallback", {"delegate": "nnapi"}, "delegate_fallback", 1),
        ("apply_failed", {"delegate": "gpu"}, "delegate_apply_failed", 1),
    ],
)
def test_failures_are_known_by_kind(
    phone, measure, said, tmp_path, fault, settings, kind, tries, monkeypatch
) -> None:
    monkeypatch.setattr("mnv3_tf.measuring.phone.adb.POLL_S", 0.02)
    program = write_binary(tmp_path / "faulty", fault=fault)
    entries = measure(phone, program, **settings).journal.entries()
    # Nothing more is asked of a configuration that failed, but its memory is one of its own.
    timed = [entry for entry in entries if entry["purpose"] == "timing"]
    assert [entry["error_kind"] for entry in timed] == [kind] * tries
    assert {entry["status"] for entry in entries} == {"error"}
    assert all(0 < len(entry["error_line"]) <= 200 for entry in entries)
    assert sum("trying again" in text for text in said) == 2 * (tries - 1)
    assert said[0].startswith(f"one, round 1: {kind}, see logs/")
    assert not left_running(phone)


def test_a_delegate_that_took_all_is_no_fallback(phone, measure) -> None:
    entry = journal(measure(phone, delegate="gpu"))[0]
    assert (entry["status"], entry["result"]["delegate"]["name"]) == ("ok", "gpu")
    assert "--use_gpu=true" in phone.runs[0]


def test_without_a_delegate_every_operator_is_listed(phone, measure) -> None:
    measured = measure(phone, delegate="none", profile_ops=True)
    assert all("--use_xnnpack=false" in text for text in phone.runs)
    (entry,) = journal(measured, "profile")
    assert len(entry["result"]["ops"]) == 5
    assert {op["type"] for op in entry["result"]["ops"]} >= {"CONV_2D", "DEPTHWISE_CONV_2D"}


def test_a_binary_of_another_processor_is_refused(phone, measure, tmp_path) -> None:
    with refused("does not run on this phone", "--benchmark_binary", by=PhoneError) as caught:
        measure(phone, foreign_binary(tmp_path / "mips"))
    assert caught.value.kind == "wrong_abi"


def test_litert_binaries_get_their_own_flags(phone, measure, tmp_path) -> None:
    program = write_binary(tmp_path / "litert", flavour="litert")
    measured = measure(phone, program, profile_ops=True)
    assert measured.ready.flavour == binaries.LITERT
    assert {entry["status"] for entry in measured.journal.entries()} == {"ok"}
    assert "--use_profiler=true" in phone.runs[-1]
    assert all("--use_cpu=true" in text for text in phone.runs)
    with refused("--delegate=none is not in this benchmark binary", "xnnpack, gpu", by=UserError):
        measure(phone, program, delegate="none")


def test_older_binaries_have_no_percentiles(phone, measure, tmp_path) -> None:
    program = write_binary(tmp_path / "old", fault="no_percentiles")
    entry = measure(phone, program).journal.entries()[0]
    assert entry["result"]["inference"]["p95"] is None
    assert session.inference_us(entry["result"]) == entry["result"]["inference_avg_us"] == 1050


def test_what_a_phone_denies_is_none(phone, measure) -> None:
    for part in ("scaling_", "time_in_state", "dumpsys", "meminfo"):
        phone.deny(part)
    entry = measure(phone).journal.entries()[0]
    assert (entry["status"], entry["rejected"], entry["mean_khz"]) == ("ok", None, None)
    assert {entry["before"][name] for name in entry["before"] if name != "residence"} == {None}


def test_a_full_disk_on_the_phone_is_told(plug_in, measure) -> None:
    with pytest.raises(PhoneError, match="No space left on device"):
        measure(plug_in(disk_free=10_000))


def test_a_file_that_arrives_damaged_is_told(phone, measure, monkeypatch, tmp_path) -> None:
    spoiled = tmp_path / "spoiled"
    spoiled.write_bytes(b"spoiled")
    push = session.Adb.push
    monkeypatch.setattr(session.Adb, "push", lambda adb, local, to: push(adb, spoiled, to))
    with refused("another content", "try another cable", by=Failure):
        measure(phone)
    assert not phone.runs
