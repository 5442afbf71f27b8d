"""Self-contained pages."""

from mnv3_tf.ui import page


def test_text_is_escaped_and_pictures_are_inside(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG...")
    parts = [
        page.paragraph("1 < 2"),
        page.table(("file", "<b>"), [("x & y", 3)]),
        page.image(picture, 'the "picture"'),
    ]
    text = page.document("a <title>", parts)
    assert "<title>a &lt;title&gt;</title>" in text
    assert "1 &lt; 2" in text
    assert "<th>&lt;b&gt;</th>" in text
    assert "<td>x &amp; y</td><td>3</td>" in text
    assert 'src="data:image/png;base64,iVBORy4uLg=="' in text
    assert "http" not in text
    assert "<script" not in text


def test_cells_of_a_table_may_keep_their_line():
    cells = (("change", "latency"), [("3: 96 -> 88", "2 ms")])
    assert "<table><tr>" in page.table(*cells)
    assert '<table class="lines"><tr>' in page.table(*cells, wrap=False)
    assert ".lines td { white-space: nowrap; }" in page.document("", [])


def test_every_part_is_escaped_and_in_its_place():
    parts = [
        page.heading("a & b"),
        page.preformatted("<x>\n y"),
        page.facts([("CPU", "<fast>"), ("RAM", "2 GB")]),
    ]
    text = page.document("t", parts)
    assert "<h1>t</h1>\n" + "\n".join(parts) + "\n</body>" in text
    assert parts == [
        "<h2>a &amp; b</h2>",
        '<pre class="scroll">&lt;x&gt;\n y</pre>',
        '<div class="scroll"><table class="facts"><tr><td>CPU</td><td>&lt;fast&gt;</td></tr>'
        "<tr><td>RAM</td><td>2 GB</td></tr></table></div>",
    ]
