"""A phone as the place where a latency table's files are timed, through `android_bench`."""

from collections.abc import Sequence
from pathlib import Path

from mnv3_tf.errors import Failure
from mnv3_tf.journal import Journal
from mnv3_tf.measuring.machine import Conditions
from mnv3_tf.measuring.phone import adb, binary, plan, results
from mnv3_tf.measuring.phone.adb import Adb
from mnv3_tf.measuring.phone.models import load
from mnv3_tf.measuring.phone.phone import look_at
from mnv3_tf.measuring.phone.session import Session

LEAST_RUNS = 50


class PhoneTimer:
    """Times files on the big cores, each round of each in a process of its own.

    Raises UserError or Failure where the phone or the binary cannot be used.
    """

    def __init__(
        self, serial: str, client: str | None, program: str | None, threads: int, rounds: int
    ) -> None:
        found = adb.find_adb(client)
        adb.choose(found, [serial])  # says what is wrong with it, if anything is
        self._adb = Adb(found, serial)
        self._phone = look_at(self._adb)
        self._binary = (
            binary.local(program) if program else binary.download(self._phone.properties["abi"])
        )
        self._settings = plan.PhoneSettings(threads=(threads,), rounds=rounds, num_runs=LEAST_RUNS)
        self.conditions: Conditions = {
            "device": self._phone.name,
            "threads": threads,
            "delegate": self._settings.delegate,
            "runtime": f"benchmark_model {self._binary.sha256[:16]}",
            "rounds": rounds,
            "build": self._phone.properties["build"],
            "mask": self._phone.mask(self._settings.cores),
        }

    def time(self, paths: Sequence[Path], burst_ms: float) -> list[float]:
        folder = paths[0].parent
        session = Session(
            self._adb,
            load([str(path) for path in paths]),
            self._settings,
            lambda _: self._binary,
            Journal(folder / "journal.jsonl"),
            folder / "logs",
            say=print,
        )
        session.run()
        found = results.collect([session], self._settings, "", "")["summary"]
        times = []
        for line in found:
            if line["median_us"] is None:
                raise Failure(
                    f"{self._adb.serial} did not run an operator: "
                    f"{line['error_kind'] or 'every run was spoiled'}; see "
                    "python -m android_bench run on one of the paper's networks."
                )
            times.append(line["median_us"])
        return times
