"""The flow from groups over rules and roles to scopes, drawn by the server as SVG.

Colours come from the theme's classes. The picture is hidden from screen readers and on narrow pages, so a
page that shows it always shows the same facts as a table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_ROW, _BOX, _GAP, _TOP = 40, 30, 44, 28
_CHAR_WIDTH = 8
"""Pixels that one character of the monospaced font takes, rounded up."""


@dataclass(frozen=True, slots=True)
class FlowColumn:
    """One column of the picture: its caption and how wide its boxes are, in pixels."""

    caption: str
    width: int


@dataclass(frozen=True, slots=True)
class FlowNode:
    """One box; ``key`` is unique in its column, ``has_effect`` is False for what is held back or unused."""

    column: int
    key: str
    words: str
    has_effect: bool = True


@dataclass(frozen=True, slots=True)
class FlowLink:
    """A line from a box to a box of the next column, by their keys."""

    column: int
    left: str
    right: str
    has_effect: bool = True


def draw_flow(columns: Sequence[FlowColumn], nodes: Iterable[FlowNode], links: Iterable[FlowLink]) -> Markup:
    """Return the picture; boxes stand in the order given, each once, links to unknown boxes are left out."""
    rows: list[dict[str, FlowNode]] = [{} for _ in columns]
    for node in nodes:
        rows[node.column].setdefault(node.key, node)
    most = max((len(one) for one in rows), default=0)
    if not most:
        return Markup("")
    lefts = [sum(one.width + _GAP for one in columns[:index]) for index in range(len(columns))]
    tops = [_tops(one, most) for one in rows]
    width, height = lefts[-1] + columns[-1].width, _TOP + most * _ROW
    parts = [
        _caption(left, column.caption) for left, column in zip(lefts, columns, strict=True)
    ]  # fmt: skip
    for link in dict.fromkeys(links):
        starts, ends = tops[link.column], tops[link.column + 1]
        if link.left in starts and link.right in ends:
            start = lefts[link.column] + columns[link.column].width
            parts.append(_line(start, starts[link.left], ends[link.right], link.has_effect))
    for index, column in enumerate(columns):
        parts += [
            _box(node, lefts[index], tops[index][node.key], column.width) for node in rows[index].values()
        ]
    return Markup(
        '<svg class="flow-map" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true" '
        'focusable="false">{}</svg>'
    ).format(width, height, width, height, Markup("").join(parts))


def _tops(rows: dict[str, FlowNode], most: int) -> dict[str, float]:
    """Return the middle of every box of a column, which is centred against the tallest one."""
    first = _TOP + (most - len(rows)) * _ROW / 2 + _ROW / 2
    return {key: first + index * _ROW for index, key in enumerate(rows)}


def _caption(left: int, words: str) -> Markup:
    return Markup('<text class="flow-map-caption" x="{}" y="14">{}</text>').format(left, words)


def _line(start: int, from_y: float, to_y: float, has_effect: bool) -> Markup:
    middle, end = start + _GAP / 2, start + _GAP
    return Markup('<path class="flow-map-line{}" d="M{} {}C{} {} {} {} {} {}"/>').format(
        "" if has_effect else " flow-map-idle",
        start,
        from_y,
        middle,
        from_y,
        middle,
        to_y,
        end,
        to_y,
    )


def _box(node: FlowNode, left: int, middle: float, width: int) -> Markup:
    return Markup(
        '<g class="flow-map-box flow-map-column-{}{}"><title>{}</title>'
        '<rect x="{}" y="{}" width="{}" height="{}" rx="8"/><text x="{}" y="{}">{}</text></g>'
    ).format(
        node.column,
        "" if node.has_effect else " flow-map-idle",
        node.words,
        left + 0.5,
        middle - _BOX / 2,
        width - 1,
        _BOX,
        left + 10,
        middle + 4.5,
        _clip(node.words, (width - 20) // _CHAR_WIDTH),
    )


def _clip(words: str, most: int) -> str:
    if len(words) <= most:
        return words
    head = (most - 1) * 2 // 3
    return f"{words[:head]}…{words[len(words) - (most - 1 - head) :]}"
