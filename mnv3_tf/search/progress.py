"""What a user sees while many trials run."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from mnv3_tf.training.progress import SECONDS, duration

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
            say(f"  {what}: {number} of {total} judged, {duration(left)} left")
