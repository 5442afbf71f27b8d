"""A .tflite that answers: classes, detections or masks, of ours or of others'.

Needs LiteRT and NumPy, not TensorFlow.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.detection import postprocess
from mnv3_tf.detection.postprocess import Detections
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS, Spec
from mnv3_tf.tflite import metadata, views
from mnv3_tf.tflite.loading import check_loads
from mnv3_tf.tflite.post_process import Suppression
from mnv3_tf.tflite.runtime import TFLiteModel
from mnv3_tf.tflite.signature import Signature, signature_of

Array = np.ndarray


def open_model(path: str | Path, threads: int = 1) -> "Predictor":
    """Opens the file, whatever its quality: it is tried in a process of its own first.

    `threads` are at most those that a detector's own suppression bears (`Signature.threads`).

    Raises UserError for a file that does not load, that takes no single RGB picture, or whose
    outputs are no `Signature`, or are the raw ones of a detector without its spec.
    """
    from ai_edge_litert import schema_py_generated as schema

    check_loads(path)
    content = Path(path).read_bytes()
    signature = signature_of(schema.ModelT.InitFromPackedBuf(content, 0))
    return Predictor(
        TFLiteModel(path, signature.threads(threads)),
        signature,
        metadata.spec_of(content),
        metadata.labels_of(content),
        metadata.normalization_of(content),
    )


class Predictor:
    """`task` is the name of one of `TASKS`, `image_size` (height, width) in pixels.

    `num_classes` is without a detector's background, and 0 where neither the file nor its labels
    say. `labels` are names, None if there are none. `spec` is that of a file of ours.

    Methods take pictures (N, height, width, 3) as real values in [-1, 1]. A file of others' gets
    them normalised as its metadata say; quantised inputs of 8 bits get the bytes as they are, as
    is the custom.
    """

    def __init__(
        self,
        model: TFLiteModel,
        signature: Signature,
        spec: Spec | None = None,
        labels: list[str] | None = None,
        normalization: tuple[list[float], list[float]] | None = None,
    ) -> None:
        shape = model.input.shape
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape[1:3]) < 2:
            taken = "x".join(map(str, shape)) or "a scalar"
            raise UserError(
                f"{model.path} takes {taken}, not one RGB picture (1, height, width, 3); export it "
                "for a batch of 1."
            )
        self.path, self.signature = model.path, signature
        self.image_size = shape[1], shape[2]
        self.labels = None if labels is None else tuple(labels)
        self.spec = spec if spec and self._is_of(spec) else None
        # Files of several tasks may look alike.
        self.task = self.spec.task if self.spec else signature.task
        known = (signature.num_classes, self.spec and self.spec.num_classes, len(labels or ()))
        self.num_classes = next((number for number in known if number), 0)
        self._model, self._normalization = model, normalization
        self._anchors = self._own_anchors() if signature.form == "raw" else None

    def label(self, index: int) -> str:
        named = self.labels and 0 <= index < len(self.labels)
        return self.labels[index] if self.labels and named else f"class {index}"

    def answer(self, picture: Array) -> Any:
        """Of a picture uint8 (H, W, 3) of any size, viewed as evaluation does: `Task.answer`."""
        return TASKS[self.task].answer(self, picture)

    def view(self, picture: Array) -> Array:
        """A picture uint8 (H, W, 3) of any size as the task's evaluation sees it."""
        return views.VIEWS[TASKS[self.task].view](picture, self.image_size)

    def classify(self, images: Array) -> Array:
        """float32 (N, classes), as the file gives them: probabilities or logits."""
        scores = [self._outputs(image)[0].reshape(-1) for image in images]
        return np.stack(scores) if scores else np.empty((0, self.num_classes), np.float32)

    def detect(self, images: Array) -> list[Detections]:
        """Of each picture. Raw files get the `post_process.Suppression` that others have inside."""
        return [self._detections(self._outputs(image)) for image in images]

    def segment(self, images: Array) -> Array:
        """Class indices, int32 (N, H, W), of the size of the file's output."""
        masks = [self._classes(self._outputs(image)[0]) for image in images]
        return np.stack(masks) if masks else np.empty((0, *self._model.output.shape[1:3]), np.int32)

    def mask(self, view: Array, size: tuple[int, ...]) -> Array:
        """Class indices, int32 (H, W), of one view, but of `size`."""
        return self._classes(self._outputs(view)[0], size)

    # -- on the way in and out ---------------------------------------------------------------

    def _outputs(self, image: Array) -> list[Array]:
        if image.shape != (*self.image_size, 3):
            raise UserError(
                f"{self.path} takes pictures of {'x'.join(map(str, self.image_size))} pixels and "
                f"got {'x'.join(map(str, image.shape))}; resize them."
            )
        answers = self._model.answers(self._as_input(np.asarray(image, np.float32)))
        return [answers[number] for number in self.signature.order]

    def _as_input(self, image: Array) -> Array:
        """Real values in [-1, 1] to those that this input stands for."""
        info = self._model.input
        unit = np.array([-1, 0, 1], np.float32)
        if info.dtype in ("uint8", "int8"):
            if np.allclose(info.seen(unit), unit, atol=0.02):
                return image
            stored = np.rint((image + 1) * 127.5) + np.iinfo(info.dtype).min
            return info.dequantize(stored)
        if self._normalization is None:
            return image
        mean, deviation = (np.array(values, np.float32) for values in self._normalization)
        return ((image + 1) * 127.5 - mean) / deviation

    def _detections(self, outputs: list[Array]) -> Detections:
        if self._anchors is not None:
            codes, scores = outputs
            keep = Suppression()
            return postprocess.detect(
                codes[0],
                scores[0],
                self._anchors,
                keep.score,
                keep.overlap,
                keep.total,
                keep.total,
                together=True,
            )
        boxes, classes, scores, count = (part.reshape(-1) for part in outputs)
        kept = slice(0, round(float(count[0])))
        boxes, classes, scores = boxes.reshape(-1, 4)[kept].clip(0, 1), classes[kept], scores[kept]
        inside = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
        order = inside[np.argsort(-scores[inside], kind="stable")]
        return Detections(boxes[order], np.rint(classes[order]).astype(np.int32), scores[order])

    def _classes(self, output: Array, size: tuple[int, ...] | None = None) -> Array:
        """int32 (H, W), of `size` (height, width) or the output's own."""
        height, width = size or output.shape[1:3]
        if self.signature.form == "classes":
            indices = np.rint(output.reshape(output.shape[1:3])).astype(np.int32)
            rows, columns = (
                # The nearest: pixels are squares, and their centres are at halves.
                ((np.arange(side) + 0.5) * given / side).astype(int)
                for side, given in zip((height, width), indices.shape, strict=True)
            )
            return indices[rows[:, np.newaxis], columns]

        def scores(number: int) -> Array:
            channel = output[0, ..., number]
            if channel.shape == (height, width):
                return channel
            return views.resize_channel(channel, (height, width))

        if output.shape[3] == 1:
            # As MediaPipe reads it: how sure a pixel is of being the figure's.
            return (scores(0) > 0.5).astype(np.int32)
        # One class after the other: all at once would not fit into memory for a camera's picture.
        best, classes = scores(0), np.zeros((height, width), np.int32)
        for number in range(1, output.shape[3]):
            following = scores(number)
            better = following > best
            best = np.where(better, following, best)
            classes[better] = number
        return classes

    # -- our own files -----------------------------------------------------------------------

    def _is_of(self, spec: Spec) -> bool:
        """Whether the spec speaks of this file, not of one that another tool has changed since."""
        return (
            self.signature.form in TASKS[spec.task].forms
            and spec.image_size == self.image_size
            and self.signature.num_classes in (None, spec.num_classes)
        )

    def _own_anchors(self) -> Array:
        spec: Any = self.spec
        anchors = spec.anchors() if spec else None
        if anchors is None or len(anchors) != self._model.output.shape[1]:
            raise UserError(
                f"{self.path} gives box codes and does not tell the anchors, which its spec inside "
                "would; export it with --output=detections."
            )
        return anchors
