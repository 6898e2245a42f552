"""The snippets of the documentation, as doctests."""

import doctest
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "docs"
MADE = "auto_examples"
PAGES = sorted(path for path in FOLDER.rglob("*") if path.suffix in {".rst", ".md"} and MADE not in path.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(FOLDER)))
def test_snippets(page, monkeypatch):
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    # The fence that closes a block of Markdown is no output.
    lines = ["" if line.startswith("```") else line for line in page.read_text(encoding="utf-8").splitlines()]
    test = doctest.DocTestParser().get_doctest("\n".join(lines), {}, page.name, str(page), 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.suffix == ".md" and PYTHON.search(page.read_text(encoding="utf-8"))],
    ids=lambda page: page.name,
)
def test_snippets_of_python_run(page):
    for block in PYTHON.findall(page.read_text(encoding="utf-8")):
        exec(compile(block, page.name, "exec"), {})


def test_every_chapter_points_to_its_examples():
    chapters = "".join(page.read_text(encoding="utf-8") for page in (FOLDER / "course").glob("*.rst"))
    for example in FOLDER.parent.glob("examples/plot_*.py"):
        assert f":ref:`sphx_glr_auto_examples_{example.name}`" in chapters
