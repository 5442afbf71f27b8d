"""Scalars for TensorBoard, which itself need not be installed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf


class ScalarWriter:
    """Appends to the event files of a folder; numbers only, anything else is left out."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
            data_class=1,  # DATA_CLASS_SCALAR of TensorFlow's summary.proto
        )

    def write(self, values: Mapping[str, Any], step: int) -> None:
        with self._writer.as_default():
            for name, value in values.items():
                if isinstance(value, float):
                    # tf.summary.scalar does the same, but refuses to without TensorBoard.
                    tensor = tf.constant(value, tf.float32)
                    tf.summary.write(name, tensor, step=step, metadata=self._metadata)
        self._writer.flush()
