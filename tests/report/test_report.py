"""The report: one file, whole, that asks the network for nothing and runs nobody's code."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import ase
import ase.build
import numpy as np
import pytest
from matplotlib.figure import Figure

from jentmax.errors import JentmaxError
from jentmax.report import Exemplar, Picture, Section, TextTable, save_figure, write_report

EVIL = "</script><script>alert('set & \"name\"')</script><!--"
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes and text, and whether all that was opened was closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.ids = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        assert len(dict(attrs)) == len(attrs)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]


def drawing(points=2):
    figure = Figure(figsize=(3.4, 2))
    random = np.random.default_rng(0)
    figure.subplots().plot(random.normal(size=points), random.normal(size=points), ".")
    return figure


@pytest.fixture
def written(tmp_path):
    def write(sections, title="Title", facts=None):
        path = tmp_path / "report.html"
        write_report(path, title, facts or {}, sections)
        return path.read_text(encoding="utf-8")

    return write


def exemplar(atoms, name="set", label="structure 1"):
    return Exemplar(name, label, atoms, "#0072B2")


def picture(caption, figure):
    """Saved under a number of its own."""
    files = save_figure(figure, "figures", str(len(list(Path().glob("figures/*")))))
    return Picture(caption, *files, figure.get_figwidth())


def everything():
    table = TextTable(EVIL, ["set", EVIL], [[EVIL, "1.5"], ["plain", "2"]])
    return [
        Section("First", f"One.\n\nTwo {EVIL}", tables=[table, table]),
        Section(EVIL, figures=[picture(EVIL, drawing()), picture("second", drawing())]),
        Section("Third", structures=[exemplar(ase.build.bulk("W"), EVIL, EVIL)]),
        Section("Fourth", structures=[exemplar(ase.build.bulk("Fe"))]),
    ]


def test_everything_is_in_it(written):
    page = Page(written(everything(), facts={"files": "a.h5", "environments": "12,345"}))
    assert [heading["text"] for heading in page.all("h2")] == ["First", EVIL, "Third", "Fourth"]
    assert len(page.all("table")) == 2
    assert len(page.all("img")) == 2
    assert [p["text"] for p in page.all("p")[:2]] == ["One.", f"Two {EVIL}"]
    assert [cell["text"] for cell in page.all("dd")] == ["a.h5", "12,345"]
    links = [link["href"] for link in page.all("a")]
    assert links == [f"#{section['id']}" for section in page.all("section")]


def test_what_others_wrote_stays_text(written):
    page = Page(written(everything(), title=EVIL, facts={EVIL: EVIL}))
    assert page.all("title")[0]["text"] == page.all("h1")[0]["text"] == EVIL
    assert page.all("dt")[0]["text"] == page.all("dd")[0]["text"] == EVIL
    assert page.all("caption")[0]["text"] == page.all("td")[0]["text"] == EVIL
    assert page.all("img")[0]["alt"] == page.all("figcaption")[0]["text"] == EVIL
    # two lists of structures, the viewer and what drives it, and not one more
    assert len(page.all("script")) == 4
    structures = [s for s in page.all("script") if s.get("type") == "application/json"]
    (structure,) = json.loads(structures[0]["text"])
    assert structure["set"] == structure["label"] == EVIL


def test_nothing_comes_from_elsewhere(written):
    page = Page(written(everything()))
    for element in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert element.get(name, "#").startswith(("#", "data:"))
    assert {"link", "iframe", "object", "embed", "base"}.isdisjoint(
        element["tag"] for element in page.elements
    )
    assert not re.search(r"url\(|@import", page.all("style")[0]["text"])
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_viewer_is_there_once_if_it_is_needed(written):
    viewer = (resources.files("jentmax.report") / "assets" / "3Dmol-min.js").read_text(
        encoding="utf-8"
    )
    assert written(everything()).count(viewer) == 1
    assert "Copyright (c) 2014, University of Pittsburgh" in written(everything())
    page = Page(written([Section("No structures")]))
    assert page.all("script") == []


def test_viewer_is_as_published():
    content = (resources.files("jentmax.report") / "assets" / "3Dmol-min.js").read_bytes()
    note = (resources.files("jentmax.report") / "assets" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(content).hexdigest() in note
    # either would end or change the script that it stands in
    assert b"</script" not in content
    assert b"<!--" not in content


def structures_of(text):
    (found,) = (s for s in Page(text).all("script") if s.get("type") == "application/json")
    return json.loads(found["text"])


def test_structures(written):
    cell = np.array([[3.0, 0, 0], [1, 4, 0], [0.5, 0.25, 5]])
    periodic = ase.Atoms("WFe", [[0.1, 0.2, 0.3], [0, 0, 5.5]], cell=cell, pbc=True)
    free = ase.build.molecule("H2O")
    one, two = structures_of(
        written([Section("S", structures=[exemplar(periodic), exemplar(free)])])
    )
    assert one["symbols"] == ["W", "Fe"]
    # 3Dmol wants lattice vectors as columns
    assert np.reshape(one["cell"], (3, 3)).T.tolist() == cell.tolist()
    # rounded to 1e-3 Å; the second atom stood outside the cell
    scaled = np.linalg.solve(cell.T, np.array(one["positions"]).T).T
    assert ((scaled > -1e-3) & (scaled < 1 + 1e-3)).all()
    shift = np.linalg.solve(cell.T, (np.array(one["positions"]) - periodic.positions).T).T
    assert shift == pytest.approx(np.rint(shift), abs=1e-3)
    assert one["positions"][0] == [0.1, 0.2, 0.3]
    assert one["radii"]["W"] > one["radii"]["Fe"] > two["radii"]["H"] > 0
    assert two["cell"] is None
    assert two["positions"] == free.positions.round(3).tolist()
    assert periodic.positions[1].tolist() == [0, 0, 5.5]  # the caller's are left alone


def test_numbers_stand_at_the_right(written):
    table = TextTable("T", ["a", "b", "c"], [["x", "y", "2.0"]], n_keys=2)
    page = Page(written([Section("S", tables=[table])]))
    assert [cell["text"] for cell in page.all("td")] == ["x", "y", "2.0"]
    for tag in ("th", "td"):
        assert [cell.get("class") for cell in page.all(tag)] == [None, None, "number"]


def test_large_drawings_become_pixels(written):
    page = Page(
        written([Section("S", figures=[picture("", drawing(2)), picture("", drawing(20000))])])
    )
    small, large = page.all("img")
    kind, content = small["src"].split(",")
    assert kind == "data:image/svg+xml;base64"
    assert b"</svg>" in base64.b64decode(content)
    kind, content = large["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content).startswith(b"\x89PNG")


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(JentmaxError, match=r"missing.report\.html cannot be written"):
        write_report(tmp_path / "missing" / "report.html", "", {}, [])
