"""A whole measurement of one phone, and what can come between."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_phone import PROPERTIES, FakePhone, foreign_binary, write_binary

from android_bench import binary as binaries
from android_bench import fixed_performance, models, plan, remote, session
from android_bench.adb import Adb
from android_bench.journal import Journal
from android_bench.locks import locked
from android_bench.session import Session
from mnv3_tf.errors import Failure, UserError

QUICK = {"rounds": 2, "num_runs": 3, "cooldown_s": 0.0}


@pytest.fixture
def open_session(adb_client, tmp_path, model_files, binary) -> Callable[..., Session]:
    def make(phone: FakePhone, program: Path = binary, files=model_files, **settings) -> Session:
        chosen = binaries.local(str(program))
        said: list[str] = []
        made = Session(
            Adb(adb_client, phone.serial),
            models.load([str(file) for file in files]),
            plan.Settings(**(QUICK | settings)),
            lambda _: chosen,
            Journal(tmp_path / "out" / "journal.jsonl"),
            tmp_path / "out" / "logs",
            said.append,
        )
        made.said = said  # type: ignore[attr-defined]
        return made

    return make


def runs(phone: FakePhone) -> list[str]:
    return [text for text in phone.commands if "--graph=" in text and "pkill" not in text]


def test_rounds_are_interleaved_on_the_big_cores(phone, open_session) -> None:
    measured = open_session(phone, profile_ops=True)
    measured.run()
    one, other = (model.sha256 for model in measured.models)
    order = [one, other, one, other, one, other, one, other]
    assert [sha for text in runs(phone) for sha in order[:2] if sha in text] == order
    assert set(phone.masks) == {"c0"}
    entries = measured.journal.entries()
    assert {entry["status"] for entry in entries} == {"ok"}
    assert [e["purpose"] for e in entries] == ["timing"] * 4 + ["memory"] * 2 + ["profile"] * 2
    assert entries[0]["result"]["inference"]["count"] >= 3
    assert entries[0]["mean_khz"] == pytest.approx(2802000, rel=0.01)
    assert entries[4]["result"]["memory"]["peak_mb"] > 0
    types = {op["type"] for op in entries[6]["result"]["ops"]}
    assert types == {"TfLiteXNNPackDelegate", "DELEGATE_PROFILED"}
    assert entries[0]["result"]["delegate"]["partitions"] == 1


def test_without_a_delegate_every_operator_is_listed(phone, open_session, model_files) -> None:
    measured = open_session(phone, files=model_files[:1], delegate="none", profile_ops=True)
    measured.run()
    ops = measured.journal.entries()[-1]["result"]["ops"]
    assert {op["type"] for op in ops} >= {"CONV_2D", "DEPTHWISE_CONV_2D"}


def test_the_same_command_does_nothing_more(phone, open_session) -> None:
    open_session(phone).run()
    done, pushed = len(runs(phone)), len(phone.pushed)
    open_session(phone).run()
    assert len(runs(phone)) == done
    assert len(phone.pushed) == pushed
    open_session(phone, rounds=3).run()
    assert len(runs(phone)) == done + 2  # the third round of two models


def test_a_retrained_model_of_the_same_name_and_size_is_pushed(
    phone, open_session, model_files, tmp_path
) -> None:
    file = tmp_path / "model.tflite"
    for source in model_files:
        shutil.copy(source, file)
        open_session(phone, files=[file]).run()
    sums = [hashlib.sha256(source.read_bytes()).hexdigest() for source in model_files]
    for content in sums:
        assert (phone.root / f"data/local/tmp/mnv3_tf/{content}.tflite").is_file()
        assert sum(content in text for text in runs(phone)) == 3  # two rounds and the memory


def test_a_damaged_copy_on_the_phone_is_replaced(phone, open_session, model_files) -> None:
    measured = open_session(phone, files=model_files[:1])
    measured.run()
    copy = phone.local(remote.model_path(measured.models[0]))
    copy.write_bytes(bytes(copy.stat().st_size))
    open_session(phone, files=model_files[:1], rounds=3).run()
    assert copy.read_bytes() == model_files[0].read_bytes()


def test_a_name_full_of_shell_is_only_a_name(phone, open_session, model_files, tmp_path) -> None:
    file = tmp_path / "a b'\";$(touch pwned)`touch pwned`.tflite"
    shutil.copy(model_files[0], file)
    measured = open_session(phone, files=[file])
    measured.run()
    assert {entry["status"] for entry in measured.journal.entries()} == {"ok"}
    assert not [*phone.root.rglob("pwned"), *Path().glob("pwned")]


def test_unplugged_in_a_round_and_plugged_in_again(phone, open_session) -> None:
    phone.unplug_at = "--graph="
    phone.back_after = 1.0
    measured = open_session(phone)
    measured.run()
    assert [entry["status"] for entry in measured.journal.entries()] == ["ok"] * 6
    assert any("is gone" in text for text in measured.said)


def test_a_phone_that_stays_away_ends_it_with_all_kept(phone, open_session) -> None:
    first = open_session(phone, rounds=1)
    first.run()
    phone.unplug_at = "--graph="
    with pytest.raises(Failure, match=r"did not come back within 2 s.*goes on from here"):
        open_session(phone, reconnect_s=2.0).run()
    assert len(first.journal.entries()) == 4


def test_two_measurements_never_share_a_phone(phone, open_session) -> None:
    with (
        locked(phone.serial),
        pytest.raises(Failure, match="is in use by another measurement"),
    ):
        open_session(phone).run()


def test_it_waits_until_the_phone_is_cool(plug_in, open_session, monkeypatch) -> None:
    monkeypatch.setattr(session.state, "POLL_S", 0.2)
    warm = plug_in(heat_per_run=10.0, cooling_s=1.0)
    warm.celsius = 25.0
    measured = open_session(warm, cooldown_s=None)
    measured.run()
    entries = measured.journal.entries()
    assert not any(entry["rejected"] for entry in entries)
    assert all(entry["before"]["celsius"] <= 27.1 for entry in entries)
    assert max(entry["waited_s"] for entry in entries) > 1


def test_a_phone_that_stays_warm_is_told(plug_in, open_session, model_files, monkeypatch) -> None:
    monkeypatch.setattr(session, "COOL_LIMIT_S", 0.5)
    warm = plug_in(heat_per_run=5.0, cooling_s=1000.0)
    measured = open_session(warm, files=model_files[:1], cooldown_s=None)
    measured.run()
    assert any("did not cool down in" in text and "°C" in text for text in measured.said)


def test_throttled_rounds_are_repeated_a_bounded_number_of_times(plug_in, open_session) -> None:
    hot = plug_in(heat_per_run=40.0, cooling_s=1000.0)
    measured = open_session(hot, rounds=1)
    measured.run()
    timed = [entry for entry in measured.journal.entries() if entry["purpose"] == "timing"]
    assert len(timed) == 2 * 3
    assert all("thermal status" in entry["rejected"] for entry in timed)


def test_a_round_that_was_interfered_with_is_repeated(phone, open_session, tmp_path) -> None:
    program = write_binary(tmp_path / "slow", slow_every=6, steady=1)
    measured = open_session(phone, program, rounds=6, num_runs=30)
    measured.run()
    aside = [entry for entry in measured.journal.entries() if entry["rejected"]]
    assert aside
    assert "times the median of the other runs" in aside[0]["rejected"]


def test_the_fixed_performance_mode_is_taken_back(phone, open_session) -> None:
    open_session(phone, fixed_performance=True).run()
    assert phone.fixed_performance == ["true", "false"]


def test_the_mode_is_taken_back_after_a_failure_and_after_a_kill(
    phone, open_session, tmp_path
) -> None:
    program = write_binary(tmp_path / "unknown", unknown_flag=1)
    with pytest.raises(Failure, match="unconsumed_flag"):
        open_session(phone, program, fixed_performance=True).run()
    assert phone.fixed_performance == ["true", "false"]
    phone.local(fixed_performance.MARK).touch()  # what a killed session leaves
    open_session(phone).run()
    assert phone.fixed_performance == ["true", "false", "false"]


def test_an_old_android_has_no_such_mode(plug_in, open_session) -> None:
    old = plug_in(properties=PROPERTIES | {"ro.build.version.sdk": "28"})
    with pytest.raises(Failure, match="--fixed_performance needs 11"):
        open_session(old, fixed_performance=True).run()


@pytest.mark.parametrize(
    ("faults", "settings", "kind", "tries"),
    [
        ({"crash": 1}, {}, "crashed", 3),
        ({"killed": 1}, {}, "out_of_memory", 3),
        ({"hang": 1}, {"timeout_s": 1.0}, "timeout", 3),
        ({"fallback": 1}, {"delegate": "gpu"}, "delegate_fallback", 1),
        ({"fallback": 1}, {"delegate": "nnapi"}, "delegate_fallback", 1),
        ({"apply_failed": 1}, {"delegate": "gpu"}, "delegate_apply_failed", 1),
    ],
)
def test_failures_are_known_by_kind(
    phone, open_session, model_files, tmp_path, faults, settings, kind, tries
) -> None:
    program = write_binary(tmp_path / "faulty", **faults)
    measured = open_session(phone, program, files=model_files[:1], **settings)
    measured.run()
    timed = [entry for entry in measured.journal.entries() if entry["purpose"] == "timing"]
    assert [entry["error_kind"] for entry in timed] == [kind] * tries
    left = subprocess.run(["pgrep", "-f", "--", f"--graph={phone.root}"], capture_output=True)
    assert not left.stdout


def test_a_binary_of_another_processor_is_refused(phone, open_session, tmp_path) -> None:
    with pytest.raises(Failure, match="does not run on this phone") as caught:
        open_session(phone, foreign_binary(tmp_path / "mips")).run()
    assert caught.value.kind == "wrong_abi"


def test_litert_binaries_get_their_own_flags(phone, open_session, model_files, tmp_path) -> None:
    program = write_binary(tmp_path / "litert", flavour="litert")
    measured = open_session(phone, program, files=model_files[:1], profile_ops=True)
    measured.run()
    assert measured.flavour == binaries.LITERT
    assert any("--use_profiler=true" in text for text in runs(phone))
    assert not any("--use_xnnpack" in text for text in runs(phone))
    with pytest.raises(UserError, match="--delegate=none is not in this benchmark binary"):
        open_session(phone, program, delegate="none").run()


def test_older_binaries_have_no_percentiles(phone, open_session, model_files, tmp_path) -> None:
    program = write_binary(tmp_path / "old", no_percentiles=1)
    measured = open_session(phone, program, files=model_files[:1])
    measured.run()
    entry = measured.journal.entries()[0]
    assert entry["result"]["inference"]["p95"] is None
    assert session.inference_us(entry) == entry["result"]["inference_avg_us"]


def test_what_a_phone_denies_is_none(phone, open_session, model_files) -> None:
    for part in ("scaling_", "time_in_state", "dumpsys", "meminfo"):
        phone.deny(part)
    measured = open_session(phone, files=model_files[:1])
    measured.run()
    entry = measured.journal.entries()[0]
    assert entry["status"] == "ok"
    assert {entry["before"][name] for name in entry["before"] if name != "residence"} == {None}


def test_a_full_disk_on_the_phone_is_told(plug_in, open_session) -> None:
    full = plug_in(disk_free=10_000)
    with pytest.raises(Failure, match="No space left on device"):
        open_session(full).run()
