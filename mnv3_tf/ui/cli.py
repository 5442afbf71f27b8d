"""What every command shares: flags, one-sentence errors, exit statuses.

A command is a module with `define_flags(values)` and `main(args)`, whose docstring is its help.
Flags live in a `FlagValues` of their own, so that commands can be called from tests and from one
another. Nothing here imports TensorFlow: `--help` must answer at once.
"""

import contextlib
import importlib
import inspect
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import flags

from mnv3_tf.errors import Failure, Terminated, UserError

Define = Callable[[flags.FlagValues], None]
Main = Callable[[flags.FlagValues], None]


def define_json_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_bool(
        "json", False, "Print the result as one JSON object on the last line.", flag_values=values
    )


def run(
    main: Main, define_flags: Define, argv: Sequence[str] | None = None, bare: str | None = None
) -> None:
    """Parses `argv`, calls `main`, and exits: 0 done, 1 failed on the way, 2 bad input.

    `bare` is the flag whose value, or list of values, may stand without its name.
    """
    argv = list(sys.argv if argv is None else argv)
    sys.exit(call(main, define_flags, argv, bare))


def call(main: Main, define_flags: Define, argv: Sequence[str], bare: str | None = None) -> int:
    """`run` without leaving the process; returns the exit status."""
    # TensorFlow's C++ logs would bury the one sentence that matters.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Keras 3, which is not used here, takes a second to import.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    values = flags.FlagValues()
    flags.DEFINE_integer("verbosity", 0, "1 shows the traceback of an error.", flag_values=values)
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    define_flags(values)
    values.set_gnu_getopt(True)  # options may stand behind other arguments
    try:
        _take_bare(values, values(argv)[1:], bare)
    except (flags.Error, UserError) as error:
        return _say(error, 2)
    if values.help:
        print(inspect.getdoc(inspect.getmodule(main)) or "")
        print("\n" + _help(values))
        return 0
    try:
        with _ending_on_sigterm():
            main(values)
    except Terminated:
        return _say("Terminated.", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return _say("Interrupted.", 130)
    except Exception as error:
        if values.verbosity >= 1:
            traceback.print_exc()
        if isinstance(error, UserError):
            return _say(error, 2)
        if isinstance(error, Failure):
            return _say(error, 1)
        return _say(f"{type(error).__name__}: {error} (--verbosity=1 shows where.)", 1)
    return 0


def _help(values: flags.FlagValues) -> str:
    """All flags in one list, wherever they were defined."""
    together = flags.FlagValues()
    for name in values:
        if values[name].name == name:  # not a short name
            flags.DEFINE_flag(values[name], together, module_name="Flags")
    return together.get_help(include_special_flags=False).strip()


def _take_bare(values: flags.FlagValues, rest: Sequence[str], bare: str | None) -> None:
    if rest and bare and isinstance(values[bare].value, list):
        values[bare].value = [*values[bare].value, *rest]
    elif rest and bare and values[bare].value is None and len(rest) == 1:
        values[bare].value = rest[0]
    elif rest:
        raise UserError(f"Unexpected argument {rest[-1]!r}; every option starts with --.")


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, so that work under way is saved or removed."""

    def end(number: int, frame: object) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def import_tensorflow(args: flags.FlagValues) -> None:
    """Imports TensorFlow and finds its devices; with --verbosity=1 all that it says is shown."""
    start_tensorflow(quietly=args.verbosity < 1)


def start_tensorflow(quietly: bool = True) -> None:
    """Without the page that it writes to standard error.

    It complains of an absent GPU before any setting is read, so the descriptor is closed to it
    meanwhile.
    """
    with tempfile.TemporaryFile() as unread, contextlib.ExitStack() as restored:
        if quietly:
            sys.stderr.flush()
            kept = os.dup(2)
            restored.callback(os.close, kept)
            restored.callback(os.dup2, kept, 2)
            os.dup2(unread.fileno(), 2)
        import tensorflow as tf

        if quietly:
            tf.get_logger().setLevel("ERROR")  # it warns where several networks are traced
        tf.config.list_physical_devices()


def dispatch(package: str, commands: Mapping[str, str], argv: Sequence[str] | None = None) -> None:
    """`python -m package COMMAND ...`, where `commands` maps each name to its module.

    A module's BARE names the flag whose value may stand without its name.
    """
    argv = list(sys.argv if argv is None else argv)
    name = argv[1] if len(argv) > 1 else "--help"
    if name in ("--help", "-h", "--helpfull"):
        print(f"python -m {package} COMMAND [flags]   (COMMAND --help for its flags)\n")
        width = max(map(len, commands)) + 2
        for command, path in commands.items():
            summary = (inspect.getdoc(importlib.import_module(path)) or "").split("\n")[0]
            print(f"  {command:<{width}}{summary}")
        sys.exit(0)
    if name not in commands:
        message = f"Unknown command {name!r}; choose one of {', '.join(commands)}."
        sys.exit(_say(message, 2))
    module = importlib.import_module(commands[name])
    run(module.main, module.define_flags, argv[1:], getattr(module, "BARE", None))


def _say(message: object, status: int) -> int:
    print(" ".join(str(message).split()), file=sys.stderr)
    return status
