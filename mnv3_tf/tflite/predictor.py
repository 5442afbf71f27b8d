"""A .tflite that answers: classes, detections or masks, of ours or of others'.

Needs LiteRT and NumPy, not TensorFlow.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnv3_tf.detection import postprocess
from mnv3_tf.detection.postprocess import Detections
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import TASKS
from mnv3_tf.tflite import views
from mnv3_tf.tflite.description import Description, describe
from mnv3_tf.tflite.loading import runs_on_xnnpack
from mnv3_tf.tflite.post_process import Suppression
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading
from mnv3_tf.tflite.runtime import TFLiteModel

Array = np.ndarray


def open_model(path: str | Path, threads: int = 1, reading: Reading = AS_IT_SAYS) -> "Predictor":
    """Opens the file, whatever its quality: it is tried in a process of its own first.

    `threads` are at most those that a detector's own suppression bears (`Signature.threads`).
    `reading` says what the file does not. Where XNNPACK alone refuses it, the built-in kernels run
    it, with a note.

    Raises UserError for a file that does not load, that takes no single picture, or whose outputs
    are no `Signature`, or are the raw ones of a detector without its spec.
    """
    on_xnnpack, notes = runs_on_xnnpack(path, reading.on_xnnpack, reading.input_shape)
    model = TFLiteModel(path, threads, on_xnnpack, reading.input_shape)
    described = describe(path, reading, model.shapes)
    if described.signature.threads(threads) != threads:
        model = TFLiteModel(path, 1, on_xnnpack, reading.input_shape)
    return Predictor(model, described, notes)


class Predictor:
    """`task` is the name of one of `TASKS`, `image_size` (height, width) in pixels.

    `num_classes` is without a detector's background, and 0 where neither the file nor its labels
    say. `labels` are names, None if there are none. `spec` is that of a file of ours, `view` what
    it shall see of a picture, None where nobody says. `notes` are sentences, without a full stop,
    on what was not certain of the file.

    Methods take pictures (N, height, width, 3) as real values in [-1, 1], RGB; the file gets them
    as it wants them (`picture_input`).
    """

    def __init__(
        self, model: TFLiteModel, described: Description, notes: Sequence[str] = ()
    ) -> None:
        self.path, self.signature, self.spec = model.path, described.signature, described.spec
        self.picture, self.image_size = described.picture, described.picture.image_size
        self.task, self.labels = described.task, described.labels
        self.view = described.view
        self.num_classes, self.notes = described.num_classes, (*notes, *described.notes)
        self._channels_first = self.signature.channels_first
        self._model, self._background = model, described.background
        self._anchors = self._own_anchors() if self.signature.form == "raw" else None

    def label(self, index: int) -> str:
        named = self.labels and 0 <= index < len(self.labels)
        return self.labels[index] if self.labels and named else f"class {index}"

    def answer(self, picture: Array) -> Any:
        """Of a picture uint8 (H, W, 3) of any size, viewed as evaluation does: `Task.answer`."""
        return TASKS[self.task].answer(self, picture)

    def smoothed(self, picture: Array) -> Array:
        """A picture uint8 (H, W, 3) of any size as boxes and masks are evaluated."""
        return views.smoothed(picture, self.image_size)

    def viewed(self, picture: Array) -> Array:
        """A picture uint8 (H, W, 3) of any size as classifiers are evaluated."""
        return views.VIEWS[TASKS[self.task].view(self.view)](picture, self.image_size)

    def classify(self, images: Array) -> Array:
        """float32 (N, classes), as the file gives them: probabilities or logits.

        A single score becomes those of two classes; a background's is left out.
        """
        scores = [self._scores(self._outputs(image)[0].reshape(-1)) for image in images]
        return np.stack(scores) if scores else np.empty((0, self.num_classes), np.float32)

    def detect(self, images: Array) -> list[Detections]:
        """Of each picture. Raw files get the `post_process.Suppression` that others have inside."""
        return [self._detections(self._outputs(image)) for image in images]

    def segment(self, images: Array) -> Array:
        """Class indices, int32 (N, H, W), of the size of the file's output."""
        masks = [self._classes(self._outputs(image)[0]) for image in images]
        shape = self._model.outputs[self.signature.order[0]].shape
        size = shape[2:] if self._channels_first else shape[1:3]
        return np.stack(masks) if masks else np.empty((0, *size), np.int32)

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
        answers = self._model.given(self.picture.stored(np.asarray(image, np.float32)))
        answers = [answers[number] for number in self.signature.order]
        if self.signature.form != "detections":  # which leaves free places as they were
            self._require_numbers(*answers)
        return (
            [np.moveaxis(a, 1, -1) for a in answers] if self.signature.channels_first else answers
        )

    def _require_numbers(self, *answers: Array) -> None:
        if any(np.isnan(answer).any() for answer in answers):
            raise UserError(
                f"{self.path} answers with what is no number (NaN), so that nothing can be said of "
                f"its classes; it got pixels as {self.picture.range}, so give another "
                "--input_range if it wants others, or else train and export it again."
            )

    def _scores(self, given: Array) -> Array:
        if self.signature.single:
            (sure,) = given
            is_logit = self.signature.answered == "logits"
            return np.array([0, sure] if is_logit else [1 - sure, sure], np.float32)
        return given[1:] if self._background else given

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
        self._require_numbers(boxes, scores)
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

    def _own_anchors(self) -> Array:
        spec: Any = self.spec
        anchors = spec.anchors() if spec else None
        if anchors is None or len(anchors) != self._model.output.shape[1]:
            raise UserError(
                f"{self.path} gives box codes and does not tell the anchors, which its spec inside "
                "would; export it with --output=detections."
            )
        return anchors
