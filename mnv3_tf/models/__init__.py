"""From a spec to a Keras model."""

from mnv3_tf.models.backbone import create_backbone
from mnv3_tf.models.build import build
from mnv3_tf.models.create import create_model, load_model

__all__ = ["build", "create_backbone", "create_model", "load_model"]
