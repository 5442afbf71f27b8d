"""A measurement from start to end: every phone at once, one worker for each, and the results."""

import json
import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from absl import flags

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.journal import Journal, locked
from mnv3_tf.measuring.phone import adb, binary, plan, results
from mnv3_tf.measuring.phone.adb import Adb
from mnv3_tf.measuring.phone.models import Model
from mnv3_tf.measuring.phone.phone import Phone
from mnv3_tf.measuring.phone.session import Session
from mnv3_tf.ui import tables


def measure(
    args: flags.FlagValues, models: Sequence[Model], settings: plan.PhoneSettings
) -> dict[str, Any]:
    """Measures on every phone and writes the results, also when some of them failed.

    Raises Failure if a phone or a model failed, after all else is done.
    """
    from android_bench import report

    if not args.out:
        raise UserError("Where to? Give --out=DIR.")
    client = adb.find_adb(args.adb)
    given = (
        binary.local(args.benchmark_binary, args.benchmark_sha256)
        if args.benchmark_binary
        else None
    )
    serials = adb.choose(client, args.serial)
    out = Path(args.out)
    with locked(str(out.resolve())):
        sessions, failures = _measure_all(args, models, settings, client, given, serials)
        command = shlex.join(["python", "-m", "android_bench", *sys.argv[1:]])
        found = results.collect(sessions, settings, command, adb.version(client))
        write(found, out)
    tables.show(*report.terminal_table(found))
    for text in found["warnings"]:
        print(f"Warning: {text}")
    print(f"Report: {out / 'report.html'}")
    failures += results.failures(found["summary"])
    if failures:
        raise Failure(" ".join(failures))
    return found


def _measure_all(
    args: flags.FlagValues,
    models: Sequence[Model],
    settings: plan.PhoneSettings,
    client: str,
    given: binary.Binary | None,
    serials: Sequence[str],
) -> tuple[list[Session], list[str]]:
    """The sessions when they have ended, and what failed in them."""
    out = Path(args.out)
    journal = Journal(out / "journal.jsonl")

    def choose_binary(phone: Phone) -> binary.Binary:
        return given or binary.download(phone.properties["abi"], args.benchmark_sha256)

    stop = threading.Event()
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
    return sessions, run_all(sessions, stop)


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


def write(found: dict[str, Any], out: Path) -> None:
    """results.json, results.csv, report.md and report.html."""
    from android_bench import page, report

    texts = {
        "results.json": json.dumps(found, indent=1) + "\n",
        "results.csv": results.as_csv(found),
        "report.md": report.markdown(found),
        "report.html": page.html(found),
    }
    for name, text in texts.items():
        with atomic_write(out / name) as temporary:
            temporary.write_text(text)
