"""How far long work is, and the time left."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

SECONDS = 60.0
"""Between two lines, where there is no terminal for a bar."""

Done = TypeVar("Done")


def reported(
    done: Iterator[Done], total: int, what: str, say: Callable[[str], None]
) -> Iterator[Done]:
    """The same, with a line about once a minute: how many of `total`, and the time left."""
    begun = said = time.monotonic()
    for number, one in enumerate(done, 1):
        yield one
        now = time.monotonic()
        if now - said >= SECONDS and number < total:
            said = now
            left = (now - begun) / number * (total - number)
            say(f"  {what}: {number} of {total} evaluated, {duration(left)} left")


def duration(seconds: float) -> str:
    """As people say it: "40 s", "12 min", "3 h 20 min", "2 d 5 h"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
