"""The page of a story: one HTML text that needs nothing beside itself."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
# Inside <script> the text must not end the element, nor open a comment; JavaScript once took
# U+2028 and U+2029 for line ends, and half a surrogate pair has no UTF-8 form.
_ESCAPED = re.compile("[<>&\u2028\u2029\ud800-\udfff]")

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="tensorflowlite">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript>This page is drawn by its own script; the browser must allow it.</noscript>
<script type="application/json" id="story">{story}</script>
<script>{script}</script>
</body>
</html>
"""


def render(story_json: str, title: str) -> str:
    r"""Put a story, the page's style and its script into one HTML text.

    The text asks for nothing: it has no address of anything outside, and its policy forbids the
    browser every request. What looks like HTML in the story stays text.

    Parameters
    ----------
    story_json : str
        The story, as ``story.to_json()`` writes it.
    title : str
        The name of the page, shown by the browser.

    Returns
    -------
    str
        The HTML text, to be written as UTF-8.

    Examples
    --------
    >>> from tensorflowlite.story.page import render
    >>> text = render('{"title": "<b>"}', "A & B")
    >>> "<title>A &amp; B</title>" in text, r'{"title": "\u003cb\u003e"}' in text
    (True, True)
    """
    style, script = _bundle("story.css"), _bundle("story.js")
    policy = (
        "default-src 'none'; "
        f"script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=policy,
        title=html.escape(title.encode("utf-8", "replace").decode()),
        style=style,
        story=_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", story_json),
        script=script,
    )


@cache
def _bundle(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
