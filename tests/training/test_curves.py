"""What curves.png shows of a run."""

import pytest

from mnv3_tf.training import curves

ROWS = [
    {"epoch": 1, "train_loss": 2.0, "val_loss": 1.8, "lr": 0.1},
    {"epoch": 2, "train_loss": 1.0, "val_loss": 1.2, "lr": 0.2},
    {"epoch": 3, "train_loss": 0.5, "val_loss": 1.4, "lr": 0.0},
]


def drawn(monkeypatch, rows) -> dict[str, dict[str, list]]:
    """By panel and label: the points of each line."""
    figures = []
    monkeypatch.setattr(curves.figures, "save", lambda figure, path: figures.append(figure))
    curves.draw(rows, "tiny on colours", None)
    assert figures[0].get_suptitle() == "tiny on colours"
    return {
        panel.get_title(): {
            line.get_label(): line.get_xydata().round(6).tolist() for line in panel.lines
        }
        for panel in figures[0].axes
    }


@pytest.mark.parametrize(
    ("score", "named"), [("val_top1", "top-1"), ("val_map", "mAP"), ("val_miou", "mIoU")]
)
def test_losses_score_and_rate(monkeypatch, score, named):
    rows = [row | {score: value} for row, value in zip(ROWS, (0.2, 0.5, 0.4), strict=True)]
    found = drawn(monkeypatch, rows)
    assert list(found) == ["loss", f"{named} (%)", "learning rate"]
    assert found["loss"] == {
        "train": [[1, 2.0], [2, 1.0], [3, 0.5]],
        "val": [[1, 1.8], [2, 1.2], [3, 1.4]],
    }
    assert found[f"{named} (%)"] == {
        "val": [[1, 20], [2, 50], [3, 40]],
        "best: 50.0% in epoch 2": [[2, 50]],
    }
    assert list(found["learning rate"].values()) == [[[1, 0.1], [2, 0.2], [3, 0.0]]]


def test_without_a_validation_set_there_is_the_training_loss(monkeypatch):
    rows = [row | {"val_loss": None, "val_top1": None} for row in ROWS]
    found = drawn(monkeypatch, rows)
    assert list(found["loss"]) == ["train"]
    assert found["top-1 (%)"] == {}


def test_it_is_a_picture(tmp_path):
    from PIL import Image

    curves.draw([row | {"val_top1": 0.5} for row in ROWS], "tiny", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 800
