"""A report in one HTML file: tables, figures, and a 3-D view of structures.

The file is self-contained. Its content security policy forbids all network access.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jentmax.dataset import writing

if TYPE_CHECKING:
    from ase import Atoms

_LARGE = 500_000
"""Size in bytes above which the .png replaces the .svg if it is smaller."""

_ZOOM = 1.3
"""Ratio of sizes on screen and in print, which turns 8 pt letters into 10 pt."""

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


@dataclass(frozen=True)
class TextTable:
    """A table of text; the first ``n_keys`` columns are left-aligned, numbers right-aligned."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_keys: int = 1


@dataclass(frozen=True)
class Picture:
    """The files of a figure from `jentmax.report.save_figure`, with its caption and width."""

    caption: str
    png: Path
    svg: Path
    inches: float


@dataclass(frozen=True)
class Exemplar:
    """A structure for the 3-D view, with its set, its label and the colour of the set."""

    set: str
    label: str
    atoms: Atoms
    color: str


@dataclass(frozen=True)
class Section:
    """A heading, followed by text, tables, figures and a 3-D view, in this order.

    A blank line in the text starts a new paragraph.
    """

    heading: str
    text: str = ""
    tables: Sequence[TextTable] = ()
    figures: Sequence[Picture] = ()
    structures: Sequence[Exemplar] = ()


def write_report(
    path: str | os.PathLike[str],
    title: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
) -> None:
    """Write a report for any browser, readable offline.

    Args:
        path: path of the .html file; an existing file is replaced.
        title: title of the page.
        facts: facts for the top of the page, by name: files, settings, versions.
        sections: sections in order.

    Raises:
        JentmaxError: the file cannot be written.
    """
    page = "\n".join(_page(title, facts, sections))
    with writing(Path(path)):
        Path(path).write_text(page, encoding="utf-8")


def _page(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> Iterable[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>{_asset('report.css')}</style></head><body>"
    yield f"<h1>{escape(title)}</h1>"
    if facts:
        yield "<dl>"
        for name, value in facts.items():
            yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        yield "</dl>"
    yield '<nav aria-label="Contents"><ol>'
    for number, section in enumerate(sections, 1):
        yield f'<li><a href="#section-{number}">{escape(section.heading)}</a></li>'
    yield "</ol></nav>"
    for number, section in enumerate(sections, 1):
        yield f'<section id="section-{number}"><h2>{escape(section.heading)}</h2>'
        yield from _section(section)
        yield "</section>"
    if any(section.structures for section in sections):
        yield "<footer><details><summary>3-D view by 3Dmol.js 2.5.5: licence</summary>"
        yield f"<pre>{escape(_asset('3Dmol-LICENSE.txt'))}</pre></details></footer>"
        yield f"<script>{_asset('3Dmol-min.js')}</script>"
        yield f"<script>{_asset('report.js')}</script>"
    yield "</body></html>"


def _section(section: Section) -> Iterable[str]:
    for paragraph in section.text.split("\n\n"):
        if paragraph.strip():
            yield f"<p>{escape(paragraph.strip())}</p>"
    for table in section.tables:
        yield from _table(table)
    for picture in section.figures:
        yield _figure(picture)
    if section.structures:
        yield from _viewer(section.structures)


def _table(table: TextTable) -> Iterable[str]:
    def cells(tag: str, texts: Iterable[str]) -> str:
        return "".join(
            f"<{tag}>{escape(text)}</{tag}>"
            if place < table.n_keys
            else f'<{tag} class="number">{escape(text)}</{tag}>'
            for place, text in enumerate(texts)
        )

    yield f'<div class="wide"><table><caption>{escape(table.caption)}</caption>'
    yield f"<thead><tr>{cells('th', table.header)}</tr></thead><tbody>"
    for row in table.rows:
        yield f"<tr>{cells('td', row)}</tr>"
    yield "</tbody></table></div>"


def _figure(picture: Picture) -> str:
    kind, image = "svg+xml", picture.svg.read_bytes()
    if len(image) > _LARGE and picture.png.stat().st_size < len(image):
        kind, image = "png", picture.png.read_bytes()
    data = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    caption = escape(picture.caption)
    width = round(picture.inches * 96 * _ZOOM)
    return (
        f'<figure><img src="{data}" alt="{caption}" width="{width}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _viewer(structures: Sequence[Exemplar]) -> Iterable[str]:
    yield '<div class="viewer"><div class="controls">'
    yield '<label>structure <select class="structure"></select></label>'
    yield '<label>colour <select class="coloring"><option value="set">of the set</option>'
    yield '<option value="element">of the element</option></select></label>'
    yield "<span>drag to turn, scroll to zoom</span></div>"
    yield '<div class="canvas"><noscript>The 3-D view needs JavaScript.</noscript></div>'
    content = json.dumps([_structure(exemplar) for exemplar in structures], separators=(",", ":"))
    content = content.replace("<", "\\u003c")  # HTML also ends the script at "</script>" in strings
    yield f'<script type="application/json">{content}</script></div>'


def _structure(exemplar: Exemplar) -> dict[str, Any]:
    from ase.data import covalent_radii

    atoms = exemplar.atoms.copy()
    atoms.wrap()  # only along periodic axes
    # The viewer's lattice vectors are columns.
    cell = atoms.cell.array.T.round(4).ravel().tolist() if atoms.cell.rank else None
    return {
        "set": exemplar.set,
        "label": exemplar.label,
        "color": exemplar.color,
        "symbols": list(atoms.symbols),
        "radii": {a.symbol: round(0.6 * float(covalent_radii[a.number]), 3) for a in atoms},
        "positions": atoms.positions.round(3).tolist(),
        "cell": cell,
    }


def _asset(name: str) -> str:
    return (resources.files("jentmax.report") / "assets" / name).read_text(encoding="utf-8")
