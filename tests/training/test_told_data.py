"""What is said of the data comes before the first step and stays; figures of nothing are absent."""

import numpy as np
from making import without_curves
from PIL import Image

from mnv3_tf.training.run import train
from mnv3_tf.training.run_folder import RunFolder
from mnv3_tf.training.settings import TrainSettings


def test_notes_come_first_and_figures_of_nothing_are_absent(dense_model, tmp_path, capsys):
    """Masks for training have no "cat", and those for validation the ground alone."""
    for part in ("train", "val"):
        for folder in ("images", "masks"):
            (tmp_path / part / folder).mkdir(parents=True)
        for number in range(2):
            mask = np.zeros((32, 32), np.uint8)
            mask[:9] = 1 if part == "train" else 0
            Image.fromarray(mask).save(tmp_path / part / "masks" / f"{number}.png")
            picture = Image.fromarray(80 * mask + number)
            picture.convert("RGB").save(tmp_path / part / "images" / f"{number}.png")
    (tmp_path / "labels.txt").write_text("ground\ndog\ncat\n")
    settings = TrainSettings(
        f"masks:{tmp_path}",
        str(tmp_path / "run"),
        dense_model,
        task="segment",
        resolution=(32, 32),
        steps=1,
        batch_size=2,
        override=("optimizer=sgd", "freeze_epochs=0", "ema_decay=0.0"),
    )
    with without_curves():
        summary = train(settings)
    notes = [
        "The class 'cat' has no pixels in training and cannot be learned",
        "The class 'dog' has no pixels in the validation set, which says nothing of it",
    ]
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [f"{note}." for note in notes]
    assert printed[2].startswith("epoch 1/1")
    assert "mIoU" not in printed[2]
    folder = RunFolder(tmp_path / "run")
    assert folder.recorded()["notes"] == notes
    (row,) = folder.read_metrics()
    assert (row["val_miou"], summary["val_miou"]) == (None, None)
    assert 0 <= summary["val_pixel_accuracy"] <= 1
