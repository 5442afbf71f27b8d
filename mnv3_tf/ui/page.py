"""Pages that need nothing but themselves: pictures are inside, and no script runs."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
pre { background: #f5f5f5; padding: .6rem; font-size: .8rem; }
img { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; }
figcaption { color: #666; font-size: .9rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
.gallery figure { margin: 0; overflow-wrap: anywhere; }
.gallery img { width: 100%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid #ddd; }
th { white-space: nowrap; }
th:first-child, td:first-child, .facts td { text-align: left; }
.lines td { white-space: nowrap; }
.facts td { overflow-wrap: anywhere; }
.facts td:first-child { white-space: nowrap; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page from parts that the functions below made."""
    escaped = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{escaped}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def heading(text: str) -> str:
    return f"<h2>{html.escape(text)}</h2>"


def preformatted(text: str) -> str:
    """Lines as they are, to be pasted."""
    return f'<pre class="scroll">{html.escape(text)}</pre>'


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], wrap: bool = True) -> str:
    """Cells that are not wrapped keep their line; where the table is too wide, it scrolls."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    kind = "" if wrap else ' class="lines"'
    return f'<div class="scroll"><table{kind}><tr>{head}</tr>{body}</table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, which is text."""
    body = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in rows
    )
    return f'<div class="scroll"><table class="facts">{body}</table></div>'


def image(png: Path | bytes, caption: str) -> str:
    """A PNG, or the file of one, with its caption."""
    content = png if isinstance(png, bytes) else png.read_bytes()
    data = base64.b64encode(content).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def gallery(images: Iterable[str]) -> str:
    """Small pictures of `image` side by side, as many in a row as there is room for."""
    return f'<div class="gallery">{"".join(images)}</div>'
