"""mnv3_tf: train MobileNetV3, export it to TFLite, and time it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnv3_tf.models import create_model as create_model

__version__ = "0.1.0"
__all__ = ["create_model"]


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import, and specs, costs and phones do not need it.
    if name == "create_model":
        from mnv3_tf.models import create_model

        return create_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
