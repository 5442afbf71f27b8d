"""What a terminal, a plot and a page show of a classifier's answers."""

import re

import numpy as np
import pytest
from PIL import Image

from mnv3_tf.tasks.answers import Answers, ByClass
from mnv3_tf.training import by_class


def parts() -> ByClass:
    """60 good parts and 2 faulty ones, all taken for good; the faulty ones are black and white."""
    answers = Answers()
    shades = np.array([0.0] * 60 + [-1, 1])[:, None, None, None] * np.ones((1, 8, 8, 3))
    sure = np.array([0.9] * 60 + [0.6, 0.8])
    answers.add(shades, np.array([0] * 60 + [1] * 2), np.stack([sure, 1 - sure], 1))
    return answers.named(["good", "faulty"])


def many(count: int) -> ByClass:
    matrix = 9 * np.eye(count, dtype=np.int64)
    matrix[5, 5], matrix[5, 7] = 2, 7
    return ByClass(tuple(f"class number {index}" for index in range(count)), matrix)


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_class_that_is_never_recognised_is_seen(capsys):
    by_class.show(parts())
    lines = words(capsys.readouterr().out)
    for line in (
        "class images precision recall",
        "good 60 0.9677 1.0000",
        "faulty 2 - 0.0000",
        "true class good faulty",
        "good 60 0",
        "faulty 2 0",
        "Balanced accuracy 0.5000, the mean recall of the classes.",
        "Never recognised: faulty (0 of 2).",
    ):
        assert line in lines, line


def test_many_classes_fit_the_terminal(capsys):
    by_class.show(many(100))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    lines = words(printed)
    assert "By class: the 20 of 100 that are recognised least" in " ".join(lines)
    rows = [line for line in lines if re.fullmatch(r"class number \d+ 9 [\d.]+ [\d.]+", line)]
    assert (len(rows), rows[0]) == (20, "class number 5 9 1.0000 0.2222")
    assert "class number 5 class number 7 7" in lines
    assert not any(line.startswith("Never") for line in lines)


def test_of_many_classes_those_without_pictures_are_left_out(capsys):
    found = many(100)
    found.matrix[3:] = 0
    by_class.show(found)
    lines = words(capsys.readouterr().out)
    assert "By class: the 3 of 3 that are recognised least" in " ".join(lines)
    assert len([line for line in lines if re.match(r"class number \d+ \d+ [\d.-]+ ", line)]) == 3


def test_of_nothing_nothing_is_said(capsys):
    by_class.show(Answers().named(["a"]))
    assert capsys.readouterr().out == ""


def drawn(monkeypatch, found):
    figures = []
    monkeypatch.setattr(by_class.figures, "save", lambda figure, path: figures.append(figure))
    by_class.draw(found, "A title", None)
    return figures[0].axes[0]


def test_the_plot_has_rows_by_their_own_sum_and_what_is_wrong_below_zero(monkeypatch):
    axes = drawn(monkeypatch, parts())
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0], [-1, 0]])
    assert [text.get_text() for text in axes.texts] == ["60", "2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good (60)", "faulty (2)"]
    assert axes.get_title() == "A title"


@pytest.mark.parametrize(("count", "numbers", "named"), [(25, 26, 25), (60, 0, 60), (61, 0, 0)])
def test_what_has_no_room_is_left_out(monkeypatch, count, numbers, named):
    axes = drawn(monkeypatch, many(count))
    assert len(axes.texts) == numbers
    assert sum("number" in label.get_text() for label in axes.get_yticklabels()) == named


def test_the_page_needs_nothing_but_itself(tmp_path):
    plot, page = tmp_path / "confusion.png", tmp_path / "mistakes.html"
    paths = [f"parts/<{number}>.png" for number in range(62)]
    by_class.write(parts(), "small on parts", paths, plot, page)
    with Image.open(plot) as picture:
        assert min(picture.size) > 300
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)[1:]
    assert captions == [
        "faulty, taken for good (0.800): parts/&lt;61&gt;.png",
        "faulty, taken for good (0.600): parts/&lt;60&gt;.png",
    ]
    assert "62 pictures, 60 of them recognised" in text


def test_the_page_where_nothing_is_wrong_or_has_a_file(tmp_path):
    files = tmp_path / "confusion.png", tmp_path / "mistakes.html"
    by_class.write(ByClass(("a", "b"), np.eye(2, dtype=np.int64)), "t", None, *files)
    assert "Nothing is wrong." in files[1].read_text()
    by_class.write(parts(), "t", None, *files)
    assert "faulty, taken for good (0.800): picture 61" in files[1].read_text()
