"""What mkdocs calls while it builds the documentation: pages that are made, not kept.

The reference comes from the package (`reference.py`), tables from result files, notebooks from
their committed outputs (`notebooks.py`), recorded training steps from runs (`chapters.py`).
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import chapters
import notebooks
import reference
from mkdocs.structure.files import File, Files

from benchmarks import cpu_jit_results, cpu_results, cuda_results

CHECKOUT = Path(__file__).resolve().parents[2]
# Files of the checkout that the documentation shows or links to as pages of its own.
ADOPTED = {"SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
RESULTS = CHECKOUT / "benchmarks" / "results"


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: the reference, notebooks as pages, adopted files, results with plots."""
    pages = reference.written()
    pages |= {f"notebooks/{name}.md": text for name, text in notebooks.pages().items()}
    for name, target in ADOPTED.items():
        pages[target] = (CHECKOUT / name).read_text(encoding="utf-8")
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    with tempfile.TemporaryDirectory() as folder:
        for name, story in chapters.STORIES.items():
            path = Path(folder, f"{name}.html")
            story().to_html(path)
            uri = f"backpropagation/stories/{name}.html"
            files.append(File.generated(config, uri, content=path.read_bytes()))
    for path in sorted(RESULTS.iterdir()):
        uri = f"results/{path.name}"
        files.append(File.generated(config, uri, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill in tables, leave out marks for tests, send links to what the site has."""
    for results in (cpu_results, cpu_jit_results, cuda_results):
        if results.BEGIN in markdown:
            markdown = results.with_block(markdown)
    markdown = re.sub(r"^<!-- (?:setup\n.*?|block: [^\n]*)-->\n", "", markdown, flags=re.M | re.S)
    markdown = re.sub(r"<!-- explain: (\w+) -->", _frame, markdown)
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)*benchmarks/results/", f"]({up}results/", markdown)
    markdown = re.sub(r"(\]\([\w/.-]*)\.ipynb\b", r"\1.md", markdown)
    for name, target in ADOPTED.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(name)}", f"]({up}{target}", markdown)
    return markdown


def _frame(match: re.Match[str]) -> str:
    """A chapter's recorded step, which also opens on a page of its own."""
    name = match[1]
    assert name in chapters.STORIES, f"docs/hooks/chapters.py has no story {name}"
    source = f"stories/{name}.html"
    return (
        f'<iframe class="story" src="{source}" title="{chapters.STORIES[name].__doc__}" '
        f'loading="lazy"></iframe>\n\n<p><a href="{source}">On a page of its own</a></p>'
    )
