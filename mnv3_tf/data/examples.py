"""Examples of each class, counted on opening: what has none cannot be learned, and that is said."""

from collections.abc import Sequence
from dataclasses import replace

from mnv3_tf.data.annotations import listed
from mnv3_tf.data.dataset import Dataset
from mnv3_tf.errors import UserError
from mnv3_tf.tasks import find_task
from mnv3_tf.tasks.task import Targets

_COUNTED: dict[Targets, tuple[str, int]] = {
    "classes": ("pictures", 2),
    "boxes": ("boxes", 1),
    "masks": ("pixels", 2),
}
"""What is counted, and how many classes must have some: it takes two to tell classes apart, but
a box is told from the ground."""

_JUDGE = {"val": "validation", "test": "test"}


def checked(dataset: Dataset, cause: str = "") -> Dataset:
    """The dataset with notes on the classes of which it has no `examples`.

    `cause` says why there may be none, where that is known. A split without counts is not checked,
    and a set that is there to evaluate on may lack classes, unless there is a cause.

    Raises UserError where too few classes have examples in training to learn anything.
    """
    unit, least = _COUNTED[find_task(dataset.task).targets]
    because = f" ({cause})" if cause else ""
    missing = {
        part: [name for name, count in zip(dataset.class_names, counts, strict=True) if not count]
        for part, counts in dataset.examples.items()
    }
    learned, notes = "train" in missing, []
    absent = missing.pop("train", [])
    if learned and len(dataset.class_names) - len(absent) < least:
        raise UserError(_nothing_to_learn(dataset, unit, absent, because))
    if absent:
        notes.append(f"{_have(absent)} no {unit} in training and cannot be learned{because}")
    for part, unseen in missing.items():
        judges = f"the {_JUDGE[part]} set"
        only_unseen = [name for name in unseen if name not in absent]
        if len(unseen) == len(dataset.class_names):
            notes.append(f"{judges.capitalize()} has no {unit}, so that it tells nothing{because}")
        elif only_unseen and (learned or cause):
            them = "it" if len(only_unseen) == 1 else "them"
            told = f"no {unit} in {judges}, which says nothing of {them}"
            notes.append(f"{_have(only_unseen)} {told}{'' if learned else because}")
    return replace(dataset, notes=(*dataset.notes, *notes))


def _nothing_to_learn(dataset: Dataset, unit: str, absent: Sequence[str], because: str) -> str:
    present = [name for name in dataset.class_names if name not in absent]
    if not present:
        return f"{dataset.name} has no {unit} to learn from{because}; give a set that has some."
    others = f", none of {listed(absent)}" if absent else ""
    return (
        f"{dataset.name} has {unit} of {present[0]!r} alone to learn from{others}{because}; it "
        f"takes at least two classes to tell them apart."
    )


def _have(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"The class {names[0]!r} has"
    return f"{len(names)} classes ({listed(names)}) have"
