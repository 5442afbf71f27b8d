"""From the value of `--dataset` to a dataset: the formats, and who opens each of them.

A new format is a file with a function from an `Opening` to a `Dataset`, and a line in `FORMATS`.
No TensorFlow here, so that help is instant.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv3_tf.data.annotations import listed
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import CLASSIFY, Resolution, Task, find_task
from mnv3_tf.tasks.class_names import checked_names
from mnv3_tf.tasks.task import Targets, sides

if TYPE_CHECKING:
    from mnv3_tf.data.dataset import Dataset


@dataclass(frozen=True)
class Opening:
    """What the opener of a format is asked.

    Args:
      rest: what follows the format's name and its colon.
      task: what the dataset is for.
      seed: of a random split, and of procedural pictures.
      side: in pixels, at which procedural formats draw.
      training: whether `train` is needed. Only then a fifth of a set that has no parts is held
        out; otherwise its `val` is all of it.
      data_dir: where tensorflow_datasets keeps its sets; None is its default.
    """

    rest: str
    task: Task[Any] = CLASSIFY
    seed: int = 0
    side: int = 224
    training: bool = False
    data_dir: str | None = None


@dataclass(frozen=True)
class Format:
    """`usage` is what --dataset takes: a name, and a colon and a place where it needs one.

    `opener` is "module:function", the function from an `Opening` to a `Dataset`.
    """

    usage: str
    targets: tuple[Targets, ...]
    opener: str

    @property
    def name(self) -> str:
        return self.usage.partition(":")[0]

    @property
    def has_place(self) -> bool:
        return ":" in self.usage

    def open(self, asked: Opening) -> "Dataset":
        module, _, function = self.opener.partition(":")
        dataset: Dataset = getattr(import_module(module), function)(asked)
        return dataset


@dataclass(frozen=True)
class Origin:
    """The set that a network was trained on: what divides it again as training did.

    `dataset` is what --dataset was; `place` the same with its paths in full, by which it is known
    from other folders too.
    """

    dataset: str
    place: str
    data_dir: str | None
    seed: int

    def is_of(self, name: str) -> bool:
        """Whether --dataset=`name` is that set."""
        return name == self.dataset or place_of(name) == self.place


def place_of(name: str) -> str:
    """A value of --dataset with its paths in full, without links or detours."""
    kind, colon, rest = name.partition(":")
    return kind + colon + ",".join(str(Path(part).resolve()) for part in rest.split(",") if part)


FORMATS = (
    Format("shapes", ("classes", "boxes", "masks"), "mnv3_tf.data.shape_scenes:open_shapes"),
    Format("folder:DIR", ("classes",), "mnv3_tf.data.folder:open_folder"),
    Format("csv:FILE", ("classes",), "mnv3_tf.data.csv_table:open_csv"),
    Format("shards:DIR", ("classes",), "mnv3_tf.data.tfrecords:open_shards"),
    Format("tfds:NAME", ("classes",), "mnv3_tf.data.tfds:open_tfds"),
    Format(
        "coco:ANNOTATIONS.json,IMAGES[,VAL.json,VAL_IMAGES]",
        ("boxes",),
        "mnv3_tf.data.coco:open_coco",
    ),
    Format("voc:DIR", ("boxes",), "mnv3_tf.data.voc:open_voc"),
    Format("masks:DIR", ("masks",), "mnv3_tf.data.masks:open_masks"),
)

_NEEDED: dict[Targets, str] = {
    "classes": "a class for each picture",
    "boxes": "boxes",
    "masks": "masks",
}


def usage(targets: Targets | None = None) -> str:
    """What --dataset may be, as "shapes, folder:DIR or csv:FILE": all, or those with `targets`."""
    *others, last = [one.usage for one in FORMATS if targets is None or targets in one.targets]
    return f"{', '.join(others)} or {last}" if others else last


def _named(dataset: "Dataset") -> "Dataset":
    """With the names of its classes checked."""
    names = checked_names(dataset.class_names, dataset.name)
    doubled = [name for name, count in Counter(names).items() if count > 1]
    note = f"Several classes have one name ({listed(doubled)}), which does not tell them apart"
    notes = (*dataset.notes, note) if doubled else dataset.notes
    return replace(dataset, class_names=names, notes=notes)


def open_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    seed: int = 0,
    resolution: Resolution = 224,
    training: bool = True,
    task: str = CLASSIFY.name,
) -> "Dataset":
    """Opens what `FORMATS` lists.

    `name` is the dataset, as `--dataset` gives it; `resolution` a side in pixels, or height and
    width; `task` the name of one of `TASKS`; the others are an `Opening`'s. What `Dataset.told`
    says is printed, a line each.

    Raises:
      UserError: an unknown format, one that does not serve the task, or a set that cannot be
        used, with the reason.
    """
    wanted = find_task(task)
    kind, _, rest = name.partition(":")
    form = next((one for one in FORMATS if one.name == kind), None)
    if form is None or bool(rest) != form.has_place:
        raise UserError(f"Unknown dataset {name!r}; choose {usage()}.")
    if wanted.targets not in form.targets:
        raise UserError(
            f"--task={task} needs {_NEEDED[wanted.targets]}, which {kind}: does not have; give "
            f"{usage(wanted.targets)}."
        )
    side = max(sides(resolution))
    # A shell leaves the ~ of folder:~/photos as it is.
    rest = ",".join(os.path.expanduser(part) for part in rest.split(","))
    dataset = _named(form.open(Opening(rest, wanted, seed, side, training, data_dir)))
    for sentence in dataset.told:
        print(f"{sentence}.", flush=True)
    return dataset
