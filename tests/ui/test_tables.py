"""Tables in a terminal of 80 columns."""

import pytest

from mnv3_tf.ui import tables


@pytest.fixture
def shown(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")

    def show(kind, *arguments) -> list[str]:
        kind(*arguments)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        return lines

    return show


def test_long_names_give_way_and_no_figure_does(shown) -> None:
    name, figures = "a_name_that_is_much_too_long_" * 2, [f"{n}.12345" for n in range(6)]
    lines = shown(tables.show, "Title", ["name", *figures], [[name, *figures]])
    assert all(sum(figure in line for line in lines) == 2 for figure in figures)
    assert "".join(line.split()[0] for line in lines[4:] if line.split()).startswith(name[:40])


def test_long_facts_are_wrapped_whole(shown) -> None:
    lines = shown(tables.facts, "Title", [("build", "x" * 100)])
    assert sum(line.count("x") for line in lines) == 100


def test_texts_stand_left_and_figures_right(shown) -> None:
    lines = shown(tables.show, "Title", ["name", "x", "y"], [["a", 1, 22222], ["long", 33, "4"]])
    assert lines[0].strip() == "Title"
    rows = [line.rstrip() for line in lines if line.split()[:1] in (["name"], ["a"], ["long"])]
    assert [row.split() for row in rows] == [
        ["name", "x", "y"],
        ["a", "1", "22222"],
        ["long", "33", "4"],
    ]
    assert rows[1].index("1") == rows[2].index("33") + 1
    assert len(rows[1]) == len(rows[2])


def test_facts_need_no_header(shown) -> None:
    lines = shown(tables.facts, "Title", [("CPU", "a fast one"), ("memory", "2 GB")])
    words = [line.split() for line in lines if line.split()]
    assert words[0] == ["Title"]
    assert words[-2:] == [["CPU", "a", "fast", "one"], ["memory", "2", "GB"]]


@pytest.mark.parametrize(
    "text", ["[red]", "[/x]", "a [b] c", ":cat:", "\\[bold]", "[link=x]y[/link]"]
)
def test_texts_are_shown_as_they_are(shown, text) -> None:
    for kind, columns in ((tables.show, (["name", "x"],)), (tables.facts, ())):
        lines = shown(kind, f"title {text}", *columns, [(text, "1"), ("other", text)])
        assert lines[0].strip() == f"title {text}"
        assert sum(text in line for line in lines) == 3
