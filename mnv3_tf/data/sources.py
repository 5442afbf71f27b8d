"""From the value of `--dataset` to a dataset."""

from mnv3_tf.data.dataset import Dataset
from mnv3_tf.errors import UserError

FORMS = "shapes, folder:DIR, csv:FILE, shards:DIR or tfds:NAME"


def open_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    seed: int = 0,
    resolution: int = 224,
    training: bool = False,
) -> Dataset:
    """Opens "shapes", "folder:DIR", "csv:FILE", "shards:DIR" or "tfds:NAME".

    Args:
      name: the source, as `--dataset` gives it.
      data_dir: where tensorflow_datasets keeps its sets; None is its default.
      seed: of a random split, and of procedural pictures.
      resolution: side in pixels at which procedural sources draw.
      training: whether `train` is needed. It matters to a csv without a `split` column: its
        `val` is the whole file, unless a fifth has to be held out for training.

    Raises:
      UserError: an unknown source, or one that cannot be used, with the reason.
    """
    source, _, rest = name.partition(":")
    if source == "shapes" and not rest:
        from mnv3_tf.data.shapes import open_shapes

        return open_shapes(seed, resolution)
    if source == "folder" and rest:
        from mnv3_tf.data.folder import open_folder

        return open_folder(rest, seed)
    if source == "csv" and rest:
        from mnv3_tf.data.csv_table import open_csv

        return open_csv(rest, seed, training)
    if source == "shards" and rest:
        from mnv3_tf.data.sharded import open_shards

        return open_shards(rest)
    if source == "tfds" and rest:
        from mnv3_tf.data.tfds import open_tfds

        return open_tfds(rest, data_dir)
    raise UserError(f"Unknown dataset {name!r}; choose {FORMS}.")
