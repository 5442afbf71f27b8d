"""From a spec to a Keras model."""

from mnv3_tf.models.backbone import Features, backbone, create_backbone
from mnv3_tf.models.classifier import build_classifier, create_model, load_classifier

__all__ = [
    "Features",
    "backbone",
    "build_classifier",
    "create_backbone",
    "create_model",
    "load_classifier",
]
