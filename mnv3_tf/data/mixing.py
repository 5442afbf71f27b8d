"""Pictures of a batch mixed with one another, and their targets with them."""

from typing import Any

import tensorflow as tf

Tensor = Any


def mix(
    images: Tensor, targets: Tensor, seed: Tensor, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """A training batch in which every picture is mixed with its opposite in the batch.

    `mixup` overlays the two (Zhang et al. 2018), `cutmix` pastes a window of one into the other
    (Yun et al. 2019); the numbers are the alphas of their Beta distributions, 0 for none. With
    both, a batch draws which, evenly. All is a function of `seed`, int64 (2,).

    Args:
      images: (N, H, W, 3).
      targets: (N, classes), mixed by the parts that remain of the pictures.
    """
    if not (mixup or cutmix):
        return images, targets
    for_choice, for_share, for_window = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    if mixup and cutmix:
        cuts = tf.random.stateless_uniform((), for_choice) < 0.5
        kept = tf.cond(
            cuts,
            lambda: _outside_window(images, _beta(for_share, cutmix), for_window),
            lambda: _everywhere(images, _beta(for_share, mixup)),
        )
    elif cutmix:
        kept = _outside_window(images, _beta(for_share, cutmix), for_window)
    else:
        kept = _everywhere(images, _beta(for_share, mixup))
    return (
        overlaid(images, tf.cast(kept, images.dtype)),
        overlaid(targets, tf.reduce_mean(kept)),
    )


def overlaid(batch: Tensor, share: Tensor) -> Tensor:
    """The batch and itself in reverse order, `share` of the former; any array that slices."""
    return share * batch + (1 - share) * batch[::-1]


def _beta(seed: Tensor, alpha: float) -> Tensor:
    """A draw from Beta(alpha, alpha)."""
    one, other = tf.unstack(tf.random.stateless_gamma((2,), seed, alpha))
    # Both are 0 where alpha is so small that they underflow.
    return tf.math.divide_no_nan(one, one + other)


def _everywhere(images: Tensor, share: Tensor) -> Tensor:
    return tf.fill((tf.shape(images)[1], tf.shape(images)[2], 1), share)


def _outside_window(images: Tensor, share: Tensor, seed: Tensor) -> Tensor:
    """1 outside and 0 inside of a window, (H, W, 1), which takes 1 - `share` of the picture.

    Its centre may lie anywhere, so that it is cut off at the borders, and then takes less.
    """
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    half = size * tf.sqrt(1.0 - share) / 2.0
    centre = size * tf.random.stateless_uniform((2,), seed)
    inside = [tf.abs(tf.range(size[axis]) + 0.5 - centre[axis]) < half[axis] for axis in (0, 1)]
    return 1.0 - tf.cast(inside[0][:, None] & inside[1][None, :], tf.float32)[..., None]
