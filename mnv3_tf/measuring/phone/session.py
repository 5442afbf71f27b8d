"""Measuring on one phone, from the lock to the last run, through lost cables and warm spells."""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

from mnv3_tf.errors import Failure, Terminated
from mnv3_tf.journal import Journal, locked
from mnv3_tf.measuring.phone import binary, log, outliers, plan, state
from mnv3_tf.measuring.phone.adb import Adb, PhoneError
from mnv3_tf.measuring.phone.binary import Binary
from mnv3_tf.measuring.phone.fixed_performance import fixed_performance
from mnv3_tf.measuring.phone.log import LogReport
from mnv3_tf.measuring.phone.models import Model
from mnv3_tf.measuring.phone.phone import Phone, look_at

T = TypeVar("T")
COOL_LIMIT_S = 600.0
LOST = {"device_lost", "no_device"}
OF_THE_BINARY = {
    "wrong_abi",
    "missing_shared_library",
    "permission_denied",
    "not_found",
    "unconsumed_flag",
}
MAY_PASS = {"timeout", "crashed", "out_of_memory", "unknown"}


class RunFacts(TypedDict):
    """A run, in the journal and in results. `status` is "ok" or "error".

    `rejected` says why it was set aside, `error_line` is the last that was printed.
    """

    serial: str
    model: str
    sha256: str
    threads: int
    delegate: str
    purpose: str
    round: int
    at: str
    waited_s: float
    status: str
    error_kind: str | None
    error_line: str | None
    rejected: str | None
    mean_khz: float | None
    command: str
    log: str


class JournalRun(RunFacts):
    """A line of journal.jsonl, which has the fields of `plan.Configuration` too.

    `before` and `after` have those of `state.PhoneState`.
    """

    key: str
    path: str
    bytes: int
    before: dict[str, Any]
    after: dict[str, Any]
    result: LogReport


@dataclass(frozen=True)
class Prepared:
    """A phone with all that its runs need, and those `runs` in their order.

    `flavour` is which of the two programs the binary is; `mask` has the cores, None for all.
    """

    phone: Phone
    binary: Binary
    flavour: str
    mask: str | None
    runs: tuple[plan.PlannedRun, ...]


@dataclass
class Session:
    """`choose_binary` gives the program for a phone; `say` takes a sentence for the user.

    `prepared` is None until the phone has been reached.
    """

    adb: Adb
    models: list[Model]
    settings: plan.PhoneSettings
    choose_binary: Callable[[Phone], Binary]
    journal: Journal[JournalRun]
    logs: Path
    say: Callable[[str], None]
    advance: Callable[[int, int], None] = lambda done, total: None

    prepared: Prepared | None = None

    def run(self) -> None:
        """Measures what the journal does not hold yet.

        Raises Failure where the phone is taken, stays away, or cannot run the binary.
        """
        with locked(self.adb.serial):
            self._through_losses(self._prepare)
            runs = self.ready.runs
            waiting = [run for run in runs if not self._is_done(run)]
            if not waiting:
                self.advance(len(runs), len(runs))
                return
            wanted = self.settings.fixed_performance
            with fixed_performance(self.adb, self.ready.phone, wanted, self.say):
                self._measure(waiting)

    @property
    def ready(self) -> Prepared:
        """What the phone is prepared with; raises RuntimeError before it is."""
        if self.prepared is None:
            raise RuntimeError(f"{self.adb.serial} has not been reached.")
        return self.prepared

    def _measure(self, waiting: list[plan.PlannedRun]) -> None:
        first = self._through_losses(self._look)
        failed: set[str] = set()
        tries: Counter[plan.PlannedRun] = Counter()
        while waiting:
            run = waiting.pop(0)
            if run.configuration.key in failed:
                continue
            entry = self._through_losses(partial(self._once, run, first))
            self.journal.add(entry)
            tries[run] += 1
            if entry["status"] != "ok":
                again = self._after_failure(run, entry, tries[run])
                if not again:
                    failed.add(run.configuration.key)
            else:
                again = not self._is_done(run)
                if entry["rejected"]:
                    self.say(f"{_name(run)} set aside: {entry['rejected']}")
            if again:
                waiting.insert(0, run)
            total = len(self.ready.runs)
            self.advance(total - len(waiting), total)

    def _after_failure(self, run: plan.PlannedRun, entry: JournalRun, tries: int) -> bool:
        """Whether to try again; raises Failure where no other model would fare better."""
        kind = entry["error_kind"]
        if kind in OF_THE_BINARY:
            raise Failure(
                f"The benchmark binary failed on {self.adb.serial} with {kind}: "
                f"{entry['error_line']}; see {entry['log']}, or give another --benchmark_binary."
            )
        again = kind in MAY_PASS and tries < outliers.ATTEMPTS
        self.say(f"{_name(run)}: {kind}, see {entry['log']}{'; trying again' * again}")
        return again

    def _is_done(self, run: plan.PlannedRun) -> bool:
        ran = [
            entry
            for entry in self.journal.where(key=run.configuration.key, round=run.round)
            if entry["status"] == "ok"
        ]
        return len(ran) >= outliers.ATTEMPTS or any(not entry["rejected"] for entry in ran)

    # -- getting ready ---------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Everything that a phone needs before a run, also after it was away."""
        phone = look_at(self.adb)
        mask = phone.mask(self.settings.cores)
        program = self.choose_binary(phone)
        self._end_leftovers()
        self.adb.put(program.path, program.on_phone, program.sha256, executable=True)
        flavour = binary.tell_flavour(self.adb.shell(program.on_phone, "--help").text)
        binary.arguments(flavour, "", 1, 1, self.settings.delegate)  # can it do that at all?
        for model in self.models:
            self.adb.put(model.path, model.on_phone, model.sha256)
        runs = plan.planned_runs(self.models, self.settings, phone.identity, program.sha256, mask)
        self.prepared = Prepared(phone, program, flavour, mask, tuple(runs))

    def _end_leftovers(self) -> None:
        """A run whose connection was lost goes on by itself, and would disturb the next."""
        # The brackets keep pkill from finding the shell that runs it.
        self.adb.steady().script("pkill -f '[b]enchmark_model --graph'")

    def _look(self) -> state.PhoneState:
        mask = self.ready.mask
        cpus = [cpu for cpu in range(64) if mask and int(mask, 16) >> cpu & 1]
        return state.look(self.adb, cpus)

    def _through_losses(self, action: Callable[[], T]) -> T:
        """Does `action`; where the phone goes away, waits for it and does all of it again."""
        while True:
            try:
                return action()
            except PhoneError as error:
                if error.kind not in LOST:
                    raise
                self.say(f"{self.adb.serial} is gone ({error}); waiting for it")
            if not self.adb.wait_until_back(self.settings.reconnect_s):
                raise Failure(
                    f"{self.adb.serial} did not come back within {self.settings.reconnect_s:.0f} "
                    "s; connect it and run the same command again, it goes on from here."
                ) from None
            self.say(f"{self.adb.serial} is back")
            if action != self._prepare:
                self._through_losses(self._prepare)

    # -- one run ---------------------------------------------------------------------------------

    def _cool_down(self, first: state.PhoneState) -> tuple[state.PhoneState, float]:
        seconds = self.settings.cooldown_s
        if seconds is None:
            now, waited = state.wait_until_cool(
                self._look, first, COOL_LIMIT_S, self.adb.stop.wait, self.adb.clock
            )
            if not state.is_cool(now, first):
                self.say(
                    f"{self.adb.serial} did not cool down in {waited:.0f} s "
                    f"({state.describe_heat(now)}, {state.describe_heat(first)} at first)"
                )
            return now, waited
        self.adb.stop.wait(seconds)
        return self._look(), seconds

    def _once(self, run: plan.PlannedRun, first: state.PhoneState) -> JournalRun:
        """Runs `run` in a process of its own."""
        before, waited = self._cool_down(first)
        words = self._words(run)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        command = shlex.join(self.adb.shell_words(shlex.join(words)))
        text, status, kind = "", None, None
        try:
            ended = self.adb.shell(*words, timeout_s=self.settings.timeout_s)
            text, status = ended.text, ended.status
        except PhoneError as error:
            if error.kind in LOST:
                raise
            self._end_leftovers()
            text, kind = str(error), error.kind
        except Terminated:
            self._end_leftovers()
            raise
        after = self._look()
        parsed = log.parse(text, status)
        kind = kind or self._error_kind(parsed)
        rejected = None if kind else self._reject(run, parsed, before, after, first)
        entry = {
            "key": run.configuration.key,
            "serial": self.adb.serial,
            "model": run.model.name,
            "path": str(run.model.path),
            "bytes": run.model.bytes,
            **asdict(run.configuration),
            "round": run.round,
            "at": at,
            "waited_s": round(waited, 1),
            "before": asdict(before),
            "after": asdict(after),
            "mean_khz": state.mean_khz(before, after),
            "status": "error" if kind else "ok",
            "error_kind": kind,
            "error_line": text.strip().splitlines()[-1][:200] if kind and text.strip() else None,
            "rejected": rejected,
            "result": parsed,
            "command": command,
            "log": self._keep_log(run, at, command, text),
        }
        return cast(JournalRun, entry)

    def _words(self, run: plan.PlannedRun) -> list[str]:
        ready = self.ready
        bound = ["taskset", ready.mask] if ready.mask else []
        flags = run.configuration.arguments(ready.flavour, run.model.on_phone)
        return [*bound, ready.binary.on_phone, *flags]

    def _error_kind(self, parsed: LogReport) -> str | None:
        """A run is good only with its timings, and only by the delegate that was asked for."""
        if parsed["error_kind"]:
            return parsed["error_kind"]
        if parsed["inference_avg_us"] is None:
            return "unknown"
        wanted, used = self.settings.delegate, parsed["delegate"]["name"]
        if wanted in ("gpu", "nnapi") and used != wanted:
            return "delegate_fallback"
        return None

    def _reject(
        self,
        run: plan.PlannedRun,
        parsed: LogReport,
        before: state.PhoneState,
        after: state.PhoneState,
        first: state.PhoneState,
    ) -> str | None:
        reason = outliers.spoiled(before, after, first.allowed_khz)
        if reason or run.configuration.purpose != plan.TIMING:
            return reason
        others = [
            inference_us(other["result"])
            for other in self.journal.where(key=run.configuration.key)
            if other["status"] == "ok" and not other["rejected"]
        ]
        return outliers.far_off(inference_us(parsed), others)

    def _keep_log(self, run: plan.PlannedRun, at: str, command: str, text: str) -> str:
        name = "-".join(
            (
                self.adb.serial,
                run.model.name,
                f"{run.configuration.threads}t",
                run.configuration.purpose,
                f"{run.round:02d}",
                at,
            )
        )
        path = self.logs / (re.sub(r"[^\w.-]+", "_", name) + ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"$ {command}\n{text}")
        return f"{self.logs.name}/{path.name}"


def _name(run: plan.PlannedRun) -> str:
    return f"{run.model.name}, round {run.round}"


def inference_us(result: LogReport) -> float:
    """A good run's time: its median where the binary gives one, else its mean."""
    median = result["inference"]["median"]
    us = result["inference_avg_us"] if median is None else median
    assert us is not None
    return float(us)
