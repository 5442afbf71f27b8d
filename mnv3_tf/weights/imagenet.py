"""The public ImageNet weights of Keras, downloaded once and checked."""

import os
import re
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec


def download(spec: NetworkSpec) -> Path:
    """The file of this network's ImageNet weights, from the cache or the net.

    Names, address and checksums are those of `tf_keras.applications.mobilenet_v3`.

    Raises UserError for a network that has no such weights, and without a network.
    """
    import tf_keras
    from tf_keras.src.applications import mobilenet_v3 as published

    released: dict[str, str] = {}
    for key in published.WEIGHTS_HASHES:
        model, width = re.fullmatch(r"(\w+)_224_([\d.]+)_float", key).groups()  # type: ignore[union-attr]
        released[f"{model} {width}"] = key
        if _same_network(resolve(model, float(width)), spec):
            break
    else:
        raise UserError(
            f"There are no public ImageNet weights for {spec.name}; they exist for "
            f"{', '.join(released)} (model and width)."
        )
    name = f"weights_mobilenet_v3_{key}.h5"
    address = published.BASE_WEIGHT_PATH + name
    try:
        found = tf_keras.utils.get_file(
            name, address, cache_subdir="models", file_hash=published.WEIGHTS_HASHES[key][0]
        )
    except Exception as error:
        place = os.path.join(os.path.expanduser("~"), ".keras", "models", name)
        raise UserError(
            f"Cannot download the ImageNet weights ({_reason(error)}); get {address} where there "
            f"is a network and put it at {place}, or pass a weights file instead of imagenet."
        ) from None
    return Path(found)


def _same_network(released: NetworkSpec, spec: NetworkSpec) -> bool:
    same_size = released.replace(resolution=spec.resolution, num_classes=spec.num_classes)
    return same_size.hash == spec.hash


def _reason(error: Exception) -> str:
    """The last line of what get_file says, without the address that follows anyway."""
    return (
        re.sub(r"^URL fetch failure on \S+: (None -- )?", "", str(error)).strip()
        or type(error).__name__
    )
