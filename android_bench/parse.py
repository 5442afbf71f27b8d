"""What a log of benchmark_model says, as one JSON object.

    python -m android_bench parse run.log
    adb logcat -d | python -m android_bench parse -

Logs of any year, of the TFLite or LiteRT binary or of the APK by logcat. Times are in
microseconds, those of operators in milliseconds; what a log does not hold is null.
"""

import codecs
import json
import sys
from pathlib import Path

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone import log
from mnv3_tf.ui import cli

BARE = "log"


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        BARE, None, "The log, or - for standard input; needs no flag.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if not args.log:
        raise UserError("Which log? Give one: python -m android_bench parse run.log")
    print(json.dumps(log.parse(decode(read(args.log)))))


def read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        remedy = "give the path of one, or - for standard input"
        raise UserError(f"There is no log {path}; {remedy}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a text file.") from error


def decode(content: bytes) -> str:
    """UTF-8, or UTF-16 as PowerShell's > writes it; bytes that are neither become U+FFFD."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")
