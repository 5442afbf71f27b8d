"""Learning rates as functions of the step."""

import math


def learning_rate(
    schedule: str,
    peak: float,
    step: int,
    total_steps: int,
    warmup_steps: int = 0,
    decay_rate: float = 1.0,
    decay_steps: float = 1.0,
) -> float:
    """The rate of step `step`, from 0 to `total_steps` - 1.

    It rises linearly to `peak` over `warmup_steps`, and then stays ("constant"), falls along half a
    cosine towards 0 at `total_steps` ("cosine") or with the remaining part of the steps to the
    power 0.9 ("polynomial": Chen et al. 2017, section 4.1), or is multiplied by `decay_rate` after
    every `decay_steps` steps, which are counted from step 0 ("exponential": in stairs, as slim
    does, section 6.1.1).
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    if schedule == "exponential":
        return peak * decay_rate ** math.floor(step / decay_steps)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
    if schedule == "polynomial":
        return peak * (1.0 - progress) ** 0.9
    raise ValueError(f"Unknown schedule {schedule!r}")
