"""From the value of `--dataset` to a dataset."""

from mnv3_tf.data.dataset import Dataset
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import CLASSIFY, Resolution, find_task
from mnv3_tf.tasks.specs import DATASETS
from mnv3_tf.tasks.task import Targets, sides

SOURCES: dict[Targets, tuple[str, tuple[str, ...]]] = {
    "classes": ("a class for each picture", ("folder", "csv", "shards", "tfds", "shapes")),
    "boxes": ("boxes", ("coco", "voc", "shapes")),
    "masks": ("masks", ("masks", "shapes")),
}
"""What a task needs, and the sources that have it."""


def open_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    seed: int = 0,
    resolution: Resolution = 224,
    training: bool = False,
    task: str = CLASSIFY.name,
) -> Dataset:
    """Opens what `tasks.DATASETS` lists.

    Args:
      name: the source, as `--dataset` gives it.
      data_dir: where tensorflow_datasets keeps its sets; None is its default.
      seed: of a random split, and of procedural pictures.
      resolution: side in pixels (or height and width) at which procedural sources draw.
      training: whether `train` is needed. It matters to a csv without a `split` column: its
        `val` is the whole file, unless a fifth has to be held out for training.
      task: the name of one of `TASKS`.

    Raises:
      UserError: an unknown source, one that does not serve the task, or one that cannot be used,
        with the reason.
    """
    targets = find_task(task).targets
    source, _, rest = name.partition(":")
    known = {source for _, sources in SOURCES.values() for source in sources}
    if source not in known or bool(rest) == (source == "shapes"):
        raise UserError(f"Unknown dataset {name!r}; choose {DATASETS}.")
    needed, serving = SOURCES[targets]
    if source not in serving:
        forms = [f"{other}:" if other != "shapes" else other for other in serving]
        raise UserError(
            f"--task={task} needs {needed}, which {source}: does not have; give "
            f"{', '.join(forms[:-1])} or {forms[-1]}."
        )
    if source == "shapes":
        if targets == "classes":
            from mnv3_tf.data.shapes import open_shapes

            return open_shapes(seed, max(sides(resolution)))
        from mnv3_tf.data.shape_scenes import open_scenes

        return open_scenes(task, seed, max(sides(resolution)))
    if source == "folder":
        from mnv3_tf.data.folder import open_folder

        return open_folder(rest, seed)
    if source == "csv":
        from mnv3_tf.data.csv_table import open_csv

        return open_csv(rest, seed, training)
    if source == "shards":
        from mnv3_tf.data.sharded import open_shards

        return open_shards(rest)
    if source == "tfds":
        from mnv3_tf.data.tfds import open_tfds

        return open_tfds(rest, data_dir)
    if source == "coco":
        from mnv3_tf.data.coco import open_coco

        return open_coco(rest, seed)
    if source == "voc":
        from mnv3_tf.data.voc import open_voc

        return open_voc(rest, seed)
    from mnv3_tf.data.masks import open_masks

    return open_masks(rest)
