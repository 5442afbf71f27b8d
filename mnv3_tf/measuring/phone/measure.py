"""A measurement from start to end: every phone at once, one worker for each, and the results."""

import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.journal import Journal, locked
from mnv3_tf.measuring.phone import adb, binary, page, plan, report, results
from mnv3_tf.measuring.phone.adb import Adb
from mnv3_tf.measuring.phone.models import Model, require_sizes
from mnv3_tf.measuring.phone.phone import Phone
from mnv3_tf.measuring.phone.plan import PhoneSettings
from mnv3_tf.measuring.phone.results import PhoneResults
from mnv3_tf.measuring.phone.session import JournalRun, Session
from mnv3_tf.ui import tables
from mnv3_tf.ui.settings import command, setting


@dataclass(frozen=True)
class Phones:
    """Which phones, and the programs that reach them and run on them."""

    serial: tuple[str, ...] = setting((), "Phones, or all.")
    adb: str | None = setting(None, "The adb client.")
    benchmark_binary: str | None = setting(
        None, "benchmark_model for the phone; without it TFLite's nightly build is downloaded."
    )
    benchmark_sha256: str | None = setting(None, "Refuse any other benchmark_model.")

    @property
    def program(self) -> binary.Binary | None:
        """The one that was given; raises UserError where it cannot be read."""
        if not self.benchmark_binary:
            return None
        return binary.local(self.benchmark_binary, self.benchmark_sha256)


def measure(
    models: Sequence[Model],
    out: str | Path | None,
    settings: PhoneSettings,
    phones: Phones,
    made_by: str | None = None,
) -> PhoneResults:
    """Measures on every phone and writes the results, also when some of them failed.

    Args:
      out: the folder of the results; what its journal has already is not measured again.
      made_by: the command to repeat it by, where that is not `android_bench run`.

    Raises Failure if a phone or a model failed, after all else is done.
    """
    if not out:
        raise UserError("Where to? Give --out=DIR.")
    out = Path(out)
    require_sizes(models, settings.input_shape)
    client, given = adb.find_adb(phones.adb), phones.program
    serials = adb.choose(client, list(phones.serial))
    if made_by is None:
        more = [f"--models={','.join(str(model.path) for model in models)}", f"--out={out}"]
        made_by = command("android_bench run", phones, settings, more=more)
    with locked(str(out.resolve())):
        journal, stop = Journal[JournalRun](out / "journal.jsonl"), threading.Event()

        def choose_binary(phone: Phone) -> binary.Binary:
            return given or binary.download(phone.properties["abi"], phones.benchmark_sha256)

        sessions = [
            Session(
                Adb(client, serial, stop),
                list(models),
                settings,
                choose_binary,
                journal,
                out / "logs",
                say=lambda text: print(text, file=sys.stderr),
            )
            for serial in serials
        ]
        failures = run_all(sessions, stop)
        found = results.collect(sessions, settings, made_by, adb.version(client))
        write(found, out)
    tables.show(*report.terminal_table(found))
    for text in found["warnings"]:
        print(f"Warning: {text}")
    print(f"Report: {out / 'report.html'}")
    failures += results.failures(found["summary"])
    if failures:
        raise Failure(" ".join(failures))
    return found


def commands(models: Sequence[Model], settings: PhoneSettings, phones: Phones) -> list[str]:
    """Those of the first round and of the runs apart, without touching a phone.

    What only the phone or the binary can tell stands in capitals.
    """
    require_sizes(models, settings.input_shape)
    program = phones.program or binary.Binary(Path("BENCHMARK_MODEL"), "SHA256", "")
    named = settings.cores in ("big", "mid", "little")
    mask = f"{settings.cores.upper()}_MASK" if named else settings.cores
    mask_or_none = None if settings.cores == "default" else mask
    lines = []
    for serial in phones.serial or ["SERIAL"]:
        phone = Adb(phones.adb or "adb", serial)
        path = program.on_phone
        lines.append(shlex.join(phone.words("shell", f"mkdir -p {path.rpartition('/')[0]}")))
        pushes = [(str(program.path), path)]
        pushes += [(str(model.path), model.on_phone) for model in models]
        lines += [shlex.join(phone.words("push", *pair)) for pair in pushes]
        lines.append(shlex.join(phone.words("shell", f"chmod 755 {path}")))
        for run in plan.planned_runs(models, settings, "", program.sha256, mask_or_none):
            bound = ["taskset", mask] if mask_or_none else []
            flags = run.configuration.arguments(binary.TFLITE, run.model.on_phone)
            lines.append(shlex.join(phone.words("shell", shlex.join([*bound, path, *flags]))))
    return lines


def run_all(sessions: Sequence[Session], stop: threading.Event) -> list[str]:
    """One worker for each phone, with a bar; the sentences of those that failed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ThreadPoolExecutor(len(sessions)) as pool,
    ):
        waiting: dict[Future[None], str] = {}
        for session in sessions:
            bar = progress.add_task(session.adb.serial, total=None)
            session.say = progress.console.print
            session.advance = _advance(progress, bar)
            waiting[pool.submit(session.run)] = session.adb.serial
        try:
            return _failures(waiting)
        finally:
            stop.set()


def _advance(progress: Any, bar: Any) -> Callable[[int, int], None]:
    return lambda done, total: progress.update(bar, completed=done, total=total)


def _failures(waiting: dict[Future[None], str]) -> list[str]:
    said = []
    while waiting:
        # In slices, so that Ctrl-C and SIGTERM are seen at once.
        done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in done:
            waiting.pop(future)
            error = future.exception()
            if isinstance(error, Failure | UserError):
                said.append(str(error))
            elif error:
                raise error
    return said


def write(found: PhoneResults, out: Path) -> None:
    """results.json, results.csv, report.md and report.html."""
    write_json(out / "results.json", found)
    texts = {
        "results.csv": results.as_csv(found),
        "report.md": report.markdown(found),
        "report.html": page.html(found),
    }
    for name, text in texts.items():
        with atomic_write(out / name) as temporary:
            temporary.write_text(text)
