"""The style sheet of a report: light and dark, from a phone to a wide screen, and on paper."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --ink: #22262b; --quiet: #656d76; --line: #e4e1dc;
  --soft: #f2f0ec; --accent: #1f5f99; --bad: #b3372b; --note: #fff6df; --note-line: #e8cf8e;
  --shade: 31, 95, 153; --shade-bad: 190, 80, 60;
  --series-1: #1f6fb2; --series-2: #cf5b12; --series-3: #2c8a5a; --series-4: #9251b6;
  --series-5: #b08400; --series-6: #c23d6e; --series-7: #0f8b94; --series-8: #6b6f76;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181c; --card: #1c2025; --ink: #e6e4df; --quiet: #9aa3ad; --line: #31373f;
    --soft: #23282e; --accent: #7db8ec; --bad: #f0897c; --note: #2c2716; --note-line: #5e5124;
    --shade: 96, 165, 225; --shade-bad: 235, 125, 105;
    --series-1: #6db3f2; --series-2: #f5a05f; --series-3: #6fcf9b; --series-4: #c79bea;
    --series-5: #e3c04c; --series-6: #f089ae; --series-7: #5ccbd4; --series-8: #b4bac2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
    "Noto Sans", Arial, sans-serif;
}
main, header, footer, nav { max-width: 1320px; margin: 0 auto; padding: 0 clamp(16px, 4vw, 48px); }
header { padding-top: clamp(28px, 5vw, 60px); }
.eyebrow { margin: 0; color: var(--quiet); font-size: 13px; letter-spacing: .06em; }
h1 {
  margin: 4px 0 10px; font-size: clamp(26px, 4.4vw, 40px); line-height: 1.15; font-weight: 650;
  letter-spacing: -.015em; overflow-wrap: anywhere;
}
.lead { margin: 0; max-width: 70ch; font-size: 17px; color: var(--quiet); overflow-wrap: anywhere; }
.lead strong { color: var(--ink); font-weight: 600; }
nav { margin-top: 26px; }
nav ul {
  display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 0; padding: 10px 0; list-style: none;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); font-size: 14.5px;
}
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px;
}
section { margin-top: clamp(38px, 5vw, 60px); }
h2 { margin: 0 0 4px; font-size: 23px; line-height: 1.25; font-weight: 640; }
h3 { margin: 0 0 6px; font-size: 15.5px; font-weight: 620; }
h2 + .grid, h2 + .card, h2 + div { margin-top: 14px; }
section > p { margin: 0 0 18px; max-width: 74ch; color: var(--quiet); }
.key {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px;
  margin: 28px 0 0; padding: 0; border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; background: var(--card);
}
.key div { padding: 14px 18px 15px; box-shadow: 0 0 0 .5px var(--line); }
.key dt { color: var(--quiet); font-size: 13px; }
.key dd { margin: 2px 0 0; font-size: 23px; font-weight: 600; font-variant-numeric: tabular-nums;
  letter-spacing: -.01em; overflow-wrap: anywhere; }
.key small { display: block; margin-top: 1px; color: var(--quiet); font-size: 12.5px;
  font-weight: 400; letter-spacing: 0; }
.notes { margin: 24px 0 0; padding: 12px 18px; border: 1px solid var(--note-line);
  border-radius: 10px; background: var(--note); font-size: 14.5px; list-style-position: inside; }
.notes li { overflow-wrap: anywhere; }
.notes li + li { margin-top: 4px; }
.grid { display: grid; gap: 20px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr)); align-items: start; }
.grid > .wide { grid-column: 1 / -1; }
figure, .card { margin: 0; padding: 16px 18px 12px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; min-width: 0; }
figcaption { margin-bottom: 8px; }
.card > .about { font-size: 13.5px; margin-bottom: 6px; }
.about { margin: 0 0 14px; max-width: 74ch; color: var(--quiet); }
figcaption p { margin: 0; color: var(--quiet); font-size: 13.5px; line-height: 1.45; }
figure svg { display: block; width: 100%; max-width: 540px; height: auto; margin: 0 auto;
  overflow: visible; font-family: inherit; }
figure svg image { image-rendering: pixelated; }
figure svg text { font-variant-numeric: tabular-nums; }
figure svg path, figure svg use { stroke-linejoin: round; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 4px 0 0; padding: 0;
  list-style: none; color: var(--quiet); font-size: 13.5px; }
.legend li { display: flex; align-items: center; gap: 7px; min-width: 0; overflow-wrap: anywhere; }
.swatch { flex: none; width: 18px; height: 0; border-top: 3px solid currentColor; }
.swatch.dashed { border-top-style: dashed; }
.swatch.dotted { border-top-style: dotted; }
.swatch.block { height: 11px; width: 11px; border: 0; border-radius: 3px;
  background: currentColor; }
details { margin-top: 8px; border-top: 1px solid var(--line); padding-top: 8px; font-size: 14px; }
summary { cursor: pointer; color: var(--quiet); font-size: 13.5px; }
summary:hover { color: var(--ink); }
.scroll { overflow-x: auto; margin-top: 8px; }
details .scroll, .scroll.long { max-height: 420px; overflow-y: auto; }
.card > .scroll { margin-top: 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
.pairs td, .pairs th { overflow-wrap: anywhere; }
thead th { color: var(--quiet); font-weight: 500; font-size: 13px; white-space: nowrap; }
tbody th { font-weight: 500; }
tr:last-child > * { border-bottom: 0; }
td.n, th.n { text-align: right; padding-left: 12px; padding-right: 0; white-space: nowrap; }
tbody th.n, thead th.n:first-child { text-align: left; padding-left: 0; padding-right: 12px; }
td.n + td:not(.n), th.n + th:not(.n) { padding-left: 18px; }
caption { text-align: left; color: var(--quiet); font-size: 13px; padding-bottom: 6px; }
tr.differs > * { background: rgba(var(--shade), .11); }
tr.differs > th:first-child { box-shadow: inset 3px 0 0 var(--accent); padding-left: 10px; }
tr.differs > th:first-child::after { content: " (differs)"; color: var(--accent); font-weight: 400;
  font-size: 12.5px; }
td.top { font-weight: 680; }
.missing { color: var(--quiet); font-style: italic; }
.confusion { width: auto; border-collapse: separate; border-spacing: 2px; margin: 0 auto; }
.confusion th, .confusion td { border: 0; padding: 4px; text-align: center; min-width: 34px;
  font-size: 13.5px; overflow-wrap: normal; white-space: nowrap; }
.confusion td { border-radius: 4px; background: var(--soft); color: var(--quiet); }
.confusion td.right { background: rgba(var(--shade), var(--share)); color: var(--ink); }
.confusion td.wrong { background: rgba(var(--shade-bad), var(--share)); color: var(--ink);
  font-weight: 600; }
.confusion th { color: var(--quiet); font-weight: 500; max-width: 12em; overflow: hidden;
  text-overflow: ellipsis; }
.confusion tbody th { text-align: right; padding-right: 8px; }
.gallery { display: grid; gap: 14px; margin: 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); }
.gallery li { padding: 10px; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; font-size: 13.5px; line-height: 1.4; min-width: 0; }
.gallery img { display: block; width: 100%; height: auto; aspect-ratio: 1; object-fit: contain;
  border-radius: 5px; background: var(--soft); margin-bottom: 8px; image-rendering: pixelated; }
.gallery b { font-weight: 620; overflow-wrap: anywhere; }
.gallery span { color: var(--quiet); display: block; overflow-wrap: anywhere; }
.shares { display: flex; height: 22px; margin: 12px 0 10px; border-radius: 6px; overflow: hidden;
  gap: 2px; background: var(--card); }
.shares i { display: block; min-width: 2px; background: currentColor; }
.pairs th { width: 42%; color: var(--quiet); font-weight: 400; }
footer { margin-top: 60px; padding-bottom: 44px; color: var(--quiet); font-size: 13.5px; }
@media (max-width: 560px) {
  figure, .card { padding: 13px 12px 10px; }
  .key dd { font-size: 20px; }
  .key div { padding: 11px 13px; }
  .confusion { border-spacing: 1px; }
  .confusion th, .confusion td { min-width: 25px; padding: 3px 2px; font-size: 12px; }
  .confusion thead th:first-child { max-width: 3.5em; white-space: normal; }
  .gallery { grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 10px; }
}
@media print {
  body { background: #fff; font-size: 12px; }
  nav { display: none; }
  figure, .card, .gallery li, .key { break-inside: avoid; }
  .scroll { max-height: none; overflow: visible; }
}
"""
