"""Pictures drawn by the server: who is who by shape, icons, and the delegation chain.

Person = circle, agent = rounded hexagon, resource = square, broker = shield. Colours come from the theme's
classes, never from ``style`` attributes, so the strict content policy holds; every picture has a text twin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from markupsafe import Markup, escape

ShapeKind = Literal["person", "agent", "resource", "broker"]
KIND_WORDS: dict[str, str] = {
    "person": "person",
    "agent": "agent",
    "resource": "resource",
    "broker": "broker",
}

_OUTLINES: dict[str, Markup] = {
    "person": Markup('<circle cx="20" cy="20" r="18"/>'),
    "agent": Markup('<path d="M13 4h14a4 4 0 0 1 3.4 2l6.4 12a4 4 0 0 1 0 4l-6.4 12a4 4 0 0 1-3.4 2H13'
                    'a4 4 0 0 1-3.4-2L3.2 22a4 4 0 0 1 0-4l6.4-12A4 4 0 0 1 13 4z"/>'),
    "resource": Markup('<rect x="3" y="3" width="34" height="34" rx="6"/>'),
    "broker": Markup('<path d="M20 2.5 35 8v11c0 9-6.3 15.3-15 18.5C11.3 34.3 5 28 5 19V8z"/>'),
}  # fmt: skip

_ICONS: dict[str, str] = {
    "check": "M3 8.5 6.5 12 13 4.5",
    "cross": "M4 4l8 8M12 4l-8 8",
    "warning": "M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.4",
    "info": "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 7.3v4M8 4.7v.4",
    "read": "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
    "change": "M2.5 13.5l.7-3L10.7 3a1.5 1.5 0 0 1 2.2 2.2l-7.4 7.6zM9.5 4.2l2.3 2.3",
    "destructive": "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.7 7v4M9.3 7v4",
    "clock": "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 4.5V8l2.5 1.5",
    "copy": "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    "arrow": "M2.5 8h11M9.5 4l4 4-4 4",
    "search": "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3l3.7 3.7",
    "stop": "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
    "pause": "M5.5 3.5v9M10.5 3.5v9",
    "play": "M4.5 3l8 5-8 5z",
    "sun": "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15"
    "M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
    "moon": "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
    "menu": "M2 4h12M2 8h12M2 12h12",
    "more": "M4 6l4 4 4-4",
    "link": "M6.5 9.5l3-3M7 4.5l1.8-1.8a3 3 0 0 1 4.4 4.4L11.5 9M9 11.5l-1.8 1.8a3 3 0 0 1-4.4-4.4L4.5 7",
    "lock": "M3.5 7h9v7h-9zM5.5 7V4.5a2.5 2.5 0 0 1 5 0V7",
    "empty": "M2 9.5 4 3h8l2 6.5V13H2zM2 9.5h3.5L6.5 11h3l1-1.5H14",
}  # fmt: skip


class TemplateHost(Protocol):
    """The part of a Flask application that ``install_drawing`` needs."""

    @property
    def jinja_env(self) -> Any:
        """The Jinja environment of the application."""


def initials(name: str) -> str:
    """Return one or two capitals that stand for ``name``; "?" when it has no letter or digit."""
    words = [word for word in name.replace(".", " ").replace("@", " ").split() if word[0].isalnum()]
    if not words:
        return "?"
    picked = words[0][0] + (words[-1][0] if len(words) > 1 else "")
    return picked.upper()


def icon(name: str, text: str = "") -> Markup:
    """Return a 16 px line icon; without ``text`` it is decoration and hidden from screen readers."""
    told = Markup('role="img" aria-label="{}"').format(text) if text else Markup('aria-hidden="true"')
    return Markup(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" {} focusable="false">'
        '<path d="{}"/></svg>'
    ).format(told, _ICONS[name])


def shape(kind: ShapeKind, name: str, *, size: int = 32, told: bool = False) -> Markup:
    """Return the shape of a person, agent, resource or the broker, ``size`` pixels wide, with its initials.

    With ``told`` it speaks for itself ("Planner, agent"); otherwise it is decoration beside the written name.
    """
    label = (
        Markup('role="img" aria-label="{}, {}"').format(name, KIND_WORDS[kind])
        if told
        else Markup('aria-hidden="true"')
    )
    return Markup(
        '<svg class="shape shape-{}" viewBox="0 0 40 40" width="{}" height="{}" {} focusable="false">{}</svg>'
    ).format(kind, size, size, label, _shape_body(kind, name))


def _shape_body(kind: str, name: str) -> Markup:
    letters = Markup('<text x="20" y="25" text-anchor="middle">{}</text>').format(initials(name))
    if kind == "broker":
        letters = Markup('<path class="shape-mark" d="M13 20l5 5 9-10"/>')
    return _OUTLINES[kind] + letters


@dataclass(frozen=True, slots=True)
class ChainNode:
    """One party of a chain; ``note`` is a short second line, ``ended`` greys it out."""

    kind: ShapeKind
    name: str
    note: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class ChainEdge:
    """What one party hands to the next: scopes that pass, scopes that were taken away, and when it ends."""

    passes: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    ends: str = ""


_COLUMN, _GAP, _MARGIN = 120, 160, 8
_CENTRE_Y, _LINE = 44, 18
_MOST_DRAWN = 4
_NAME_CHARS, _EDGE_CHARS = 14, 23


def draw_chain(
    nodes: Sequence[ChainNode], edges: Sequence[ChainEdge], *, title: str = "Delegation chain"
) -> Markup:
    """Return the chain left to right as SVG, with the same content as an ordered list.

    The list is what phones and screen readers get, and everybody when the chain is longer than four.
    Raises ``ValueError`` when there is not exactly one edge between two nodes.
    """
    if len(edges) != max(len(nodes) - 1, 0):
        raise ValueError("a chain needs one edge between each two nodes")
    if not nodes:
        return Markup("")
    picture = _chain_picture(nodes, edges) if len(nodes) <= _MOST_DRAWN else Markup("")
    extent = f" chain-of-{len(nodes)}" if picture else ""
    return Markup('<figure class="chain{}" aria-label="{}">{}{}</figure>').format(
        extent, title, picture, _chain_list(nodes, edges)
    )


def _chain_picture(nodes: Sequence[ChainNode], edges: Sequence[ChainEdge]) -> Markup:
    width = 2 * _MARGIN + len(nodes) * _COLUMN + len(edges) * _GAP
    rows = max(len(_wrap(node.name, _NAME_CHARS, most=2)) + bool(node.note) for node in nodes)
    height = _CENTRE_Y + 32 + _LINE * rows
    parts = [_edge_picture(index, edge) for index, edge in enumerate(edges)]
    parts += [_node_picture(index, node) for index, node in enumerate(nodes)]
    return Markup(
        '<svg class="chain-picture" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true" '
        'focusable="false">{}</svg>'
    ).format(width, height, width, height, Markup("").join(parts))


def _centre_x(index: int) -> float:
    return _MARGIN + index * (_COLUMN + _GAP) + _COLUMN / 2


def _node_picture(index: int, node: ChainNode) -> Markup:
    x = _centre_x(index)
    lines = _wrap(node.name, _NAME_CHARS, most=2)
    texts = [_text(x, _CENTRE_Y + 42 + _LINE * row, line, "chain-name") for row, line in enumerate(lines)]
    if node.note:
        y = _CENTRE_Y + 42 + _LINE * len(lines)
        texts.append(_text(x, y, _clip(node.note, _NAME_CHARS + 2), "chain-note"))
    return Markup(
        '<g class="{}"><title>{}, {}</title>'
        '<g class="shape shape-{}" transform="translate({} {})">{}</g>{}</g>'
    ).format(
        "chain-ended" if node.ended else "chain-live", node.name, KIND_WORDS[node.kind],
        node.kind, x - 20, _CENTRE_Y - 20, _shape_body(node.kind, node.name), Markup("").join(texts),
    )  # fmt: skip


def _edge_picture(index: int, edge: ChainEdge) -> Markup:
    left, right = _centre_x(index) + 28, _centre_x(index + 1) - 28
    middle = (left + right) / 2
    texts = []
    if edge.passes:
        texts.append(_text(middle, _CENTRE_Y - 10, _clip(_summed(edge.passes), _EDGE_CHARS), "chain-passes"))
    below = [(_clip(f"without {_summed(edge.drops)}", _EDGE_CHARS), "chain-drops")] if edge.drops else []
    below += [(_clip(edge.ends, _EDGE_CHARS), "chain-note")] if edge.ends else []
    texts += [_text(middle, _CENTRE_Y + 20 + _LINE * row, line, css) for row, (line, css) in enumerate(below)]
    return Markup('<g><path class="chain-line" d="M{} {}H{}m-6-5 6 5-6 5"/>{}</g>').format(
        left, _CENTRE_Y, right, Markup("").join(texts)
    )


def _text(x: float, y: float, words: str, css: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="middle" class="{}">{}</text>').format(x, y, css, words)


def _summed(scopes: Sequence[str]) -> str:
    return scopes[0] if len(scopes) == 1 else f"{scopes[0]} +{len(scopes) - 1}"


def _clip(words: str, most: int) -> str:
    if len(words) <= most:
        return words
    head = (most - 1) * 2 // 3
    return f"{words[:head]}…{words[len(words) - (most - 1 - head) :]}"


def _wrap(words: str, width: int, *, most: int) -> list[str]:
    """Break at spaces into at most ``most`` lines; a line that is still too long loses its middle."""
    lines: list[str] = []
    for word in words.split():
        if lines and (len(lines[-1]) + 1 + len(word) <= width or len(lines) == most):
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return [_clip(line, width) for line in lines]


def _chain_list(nodes: Sequence[ChainNode], edges: Sequence[ChainEdge]) -> Markup:
    items = []
    for index, node in enumerate(nodes):
        edge = _edge_words(edges[index], nodes[index + 1].name) if index < len(edges) else Markup("")
        note = Markup(' <span class="chain-note">{}</span>').format(node.note) if node.note else Markup("")
        ended = Markup(' <span class="chain-note">(ended)</span>') if node.ended else Markup("")
        items.append(
            Markup(
                '<li>{}<div><strong>{}</strong> <span class="visually-hidden">, {}</span>{}{}{}</div></li>'
            ).format(shape(node.kind, node.name), node.name, KIND_WORDS[node.kind], note, ended, edge)
        )
    return Markup('<ol class="chain-list">{}</ol>').format(Markup("").join(items))


def _edge_words(edge: ChainEdge, receiver: str) -> Markup:
    lines = [Markup("gives {}").format(receiver)]
    if edge.passes:
        lines.append(Markup('<span class="chain-passes">{}</span>').format(", ".join(edge.passes)))
    if edge.drops:
        lines.append(Markup('<span class="chain-drops">without {}</span>').format(", ".join(edge.drops)))
    if edge.ends:
        lines.append(escape(edge.ends))
    return Markup('<p class="chain-hand-over">{}</p>').format(Markup("<br/>").join(lines))


def draw_links(left: int, right: int, *, row: int = 40) -> Markup:
    """Return the fan of lines between ``left`` rows and ``right`` rows, each ``row`` pixels high; one is 1.

    It is stretched between the columns of the group → role → scopes flow; the columns are its text twin.
    """
    if not left or not right:
        return Markup("")
    height = max(left, right) * row
    middle = height / 2
    ends = [_row_y(index, max(left, right), height, row) for index in range(max(left, right))]
    if right == 1:
        lines = [f"M0 {y}C50 {y} 50 {middle} 100 {middle}" for y in ends]
    else:
        lines = [f"M0 {middle}C50 {middle} 50 {y} 100 {y}" for y in ends]
    return Markup(
        '<svg class="flow-links" viewBox="0 0 100 {}" height="{}" preserveAspectRatio="none" '
        'aria-hidden="true" focusable="false"><path d="{}"/></svg>'
    ).format(height, height, "".join(lines))


def _row_y(index: int, rows: int, height: float, row: int) -> float:
    return (height - rows * row) / 2 + index * row + row / 2


def install_drawing(app: TemplateHost) -> None:
    """Make the drawing functions callable in every template under their own names."""
    app.jinja_env.globals.update(
        shape=shape, icon=icon, initials=initials, draw_chain=draw_chain, draw_links=draw_links
    )
