"""Android's fixed-performance mode: clocks bounded at what the phone can sustain."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mnv3_tf.errors import Failure
from mnv3_tf.measuring.phone.adb import FOLDER, Adb, PhoneError
from mnv3_tf.measuring.phone.phone import Phone

COMMAND = ("cmd", "power", "set-fixed-performance-mode-enabled")
FIRST_SDK = 30
MARK = f"{FOLDER}/fixed_performance"
"""A file on the phone that survives a kill, so that the next session takes the mode back."""


@contextmanager
def fixed_performance(
    adb: Adb, phone: Phone, wanted: bool, say: Callable[[str], None]
) -> Iterator[None]:
    """Switches the mode on if it is `wanted`, and takes it back whatever happens.

    Raises Failure where the phone does not have it.
    """
    steady = adb.steady()
    if adb.shell("ls", MARK).status == 0:
        _take_back(steady)
    if not wanted:
        yield
        return
    sdk = phone.properties["sdk"]
    if sdk is None or int(sdk) < FIRST_SDK:
        raise Failure(
            f"{phone.name} has Android {phone.properties['android']}, and --fixed_performance "
            "needs 11; leave it out."
        )
    steady.shell("touch", MARK)
    try:
        done = steady.shell(*COMMAND, "true")
        if done.status:
            raise Failure(
                f"{phone.name} refuses the fixed-performance mode: {done.text.strip()}; leave "
                "--fixed_performance out."
            )
        yield
    finally:
        try:
            _take_back(steady)
        except PhoneError as error:
            say(
                f"The fixed-performance mode is still on ({error}); run "
                f"adb -s {adb.serial} shell {' '.join(COMMAND)} false"
            )


def _take_back(adb: Adb) -> None:
    adb.shell(*COMMAND, "false")
    adb.shell("rm", "-f", MARK)
