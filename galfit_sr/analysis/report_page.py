"""What our HTML pages are made of: style sheet, frame, figures, tables, numbers. One file each, nothing is fetched."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

MINUS = "\N{MINUS SIGN}"

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f8; color: #1c2329; font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 28px 64px; background: #fff; min-height: 100vh; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { max-width: 75ch; }
.subtitle, figcaption, small, .what, .truth { color: #57626d; }
.subtitle { margin: .3rem 0 1.2rem; }
figcaption { font-size: .9rem; max-width: 75ch; margin-top: .4rem; }
figure { margin: 0; }
.warnings { border-left: 5px solid #d55e00; background: #fdf1e7; padding: .6rem 1.1rem; margin: 1rem 0; }
.warnings h2 { margin: .2rem 0; font-size: 1.05rem; }
.warnings ul { margin: .4rem 0; padding-left: 1.2rem; }
.warnings li { margin: .35rem 0; overflow-wrap: anywhere; }
.fine { border-left: 5px solid #009e73; background: #eaf6f2; padding: .1rem 1.1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px; margin: 1.2rem 0; }
.card { border: 1px solid #dde2e6; border-radius: 8px; padding: .7rem .9rem; display: flex; flex-direction: column; }
.card .what { font-size: .85rem; line-height: 1.3; flex: 1; }
.card .value { font-size: 1.35rem; font-variant-numeric: tabular-nums; white-space: nowrap; margin-top: .4rem; }
.card .truth { font-size: .85rem; }
.errors { display: inline-flex; flex-direction: column; vertical-align: middle; line-height: 1.15; font-size: .68em;
  margin-left: .25em; }
.errors sup, .errors sub { position: static; font-size: inherit; line-height: inherit; vertical-align: baseline; }
.box { overflow-x: auto; max-width: 100%; }
img.fit { display: block; width: 100%; height: auto; }
img.wide { display: block; height: auto; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
td, th { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #e6eaed; text-align: left; vertical-align: middle;
  white-space: nowrap; }
thead th { color: #57626d; font-weight: 600; border-bottom: 2px solid #c9d0d6; }
.pairs th, .pairs td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; min-width: 0; }
.pairs th { font-weight: 400; color: #57626d; padding-right: 2rem; max-width: 30rem; }
.pairs .title th { color: inherit; font-weight: 600; padding-top: 1.1rem; border-bottom: 2px solid #c9d0d6; }
td:first-child { white-space: normal; min-width: 9.5rem; max-width: 22rem; }
td .beyond { color: #b34700; font-weight: 600; }
td small { line-height: 1.3; display: inline-block; }
figure.wide figcaption::after { content: " Scroll it sideways to see all of it."; }
@media (max-width: 700px) {
  main { padding: 16px 14px 48px; }
  img.fit { min-width: 640px; }
  figcaption::after { content: " Scroll it sideways to see all of it."; }
  .pairs th { width: 55%; padding-right: .8rem; }
}
@media (max-width: 940px) {
  /* A table that stacks becomes a list: what a row is about, and below it its cells, each with its column's head. */
  .stacks, .stacks tbody { display: block; }
  .stacks thead { display: none; }
  .stacks tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); gap: .2rem .8rem;
    padding: .6rem 0; border-bottom: 1px solid #e6eaed; }
  .stacks td { border: 0; padding: 0; white-space: normal; }
  .stacks td:first-child { grid-column: 1 / -1; max-width: none; }
  .stacks td:empty::after { content: "–"; }
  .stacks td[data-head]::before { content: attr(data-head); display: block; color: #57626d; font-size: .82rem; }
}
pre { background: #f3f5f7; padding: .8rem 1rem; margin: .4rem 0; font-size: .85rem; line-height: 1.4;
  width: max-content; min-width: 100%; }
code { font-size: .92em; }
"""

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
$head</head>
<body>
<main>
<h1>$name</h1>
<p class="subtitle">$subtitle</p>
$body
</main>
</body>
</html>
""")


def page_html(title: str, name: str, subtitle: str, parts: Iterable[str], head: str = "") -> str:
    """A whole page.

    Args:
        title: for the browser, plain text.
        name: heading, plain text.
        subtitle: below it, plain text.
        parts: HTML, in order; empty ones leave no gap.
        head: HTML that belongs into the head of the page.
    """
    return _PAGE.substitute(
        title=escape(title),
        style=_STYLE,
        name=escape(name),
        subtitle=escape(subtitle),
        body="\n".join(part for part in parts if part),
        head=head,
    )


def warnings_html(sentences: Iterable[str]) -> str:
    """A box of sentences to be read first."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<section class="warnings" role="note"><h2>Read this first</h2><ul>{items}</ul></section>'


def figure_html(title: str, caption: str, image: bytes, *, wide: bool = False) -> str:
    """A figure with heading and caption (plain text), inside the page; wide ones scroll.

    Args:
        title, caption: plain text.
        image: PNG.
        wide: drawn larger than the page.
    """
    source = base64.b64encode(image).decode("ascii")
    kind = "wide" if wide else "fit"
    shown = f'<img class="{kind}" alt="{escape(title)}" src="data:image/png;base64,{source}">'
    return (
        f'<h2>{escape(title)}</h2><figure class="{kind}"><div class="box" tabindex="0">{shown}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table_html(heads: Sequence[str], rows: Iterable[Sequence[str]], *, stacks: bool = False) -> str:
    """A table of HTML cells that scrolls in a box of its own.

    Args:
        heads: of the columns, HTML.
        rows: of HTML cells.
        stacks: whether rows become blocks on a page that is too narrow for them.
    """
    head = "".join(f"<th>{h}</th>" for h in heads)
    # Attributes hold no elements.
    named = [re.sub(r"<[^>]*>", "", h) for h in heads]
    opened = [f'<td data-head="{name}">' if stacks and name else "<td>" for name in named]
    body = "".join(
        f"<tr>{''.join(f'{td}{cell}</td>' for td, cell in zip(opened, row, strict=True))}</tr>" for row in rows
    )
    table = '<table class="stacks">' if stacks else "<table>"
    return f'<div class="box">{table}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs_html(parts: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> str:
    """Phrases and their values, all plain text, part by part: each has a title and pairs."""
    body = "".join(
        f'<tr class="title"><th colspan="2">{escape(title)}</th></tr>'
        + "".join(f"<tr><th>{escape(phrase)}</th><td>{escape(value)}</td></tr>" for phrase, value in pairs)
        for title, pairs in parts
    )
    return f'<div class="box"><table class="pairs"><tbody>{body}</tbody></table></div>'


def decimals(value: float, digits: int) -> str:
    """A number with `digits` decimals and a typographic minus."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
