"""Shapes and chains: well-formed, told in words, safe with hostile names, and within the content policy."""

from xml.etree import ElementTree

import pytest

from broker.web.drawing import ChainEdge, ChainNode, draw_chain, draw_links, icon, initials, shape

HOSTILE = '"><script>alert(1)</script>'
KINDS = ("person", "agent", "resource", "broker")

NODES = (
    ChainNode("person", "Maya Okafor"),
    ChainNode("agent", "Planner"),
    ChainNode("agent", "Booker", note="sub-agent"),
    ChainNode("resource", "Calendar"),
)
EDGES = (
    ChainEdge(("calendar.read", "calendar.write"), (), "until 18:00"),
    ChainEdge(("calendar.read",), ("calendar.write",), "5 minutes"),
    ChainEdge(("calendar.read",)),
)


def parse(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<page>{markup}</page>")


def words_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_beside_a_name_is_decoration(kind):
    svg = parse(shape(kind, "Planner"))[0]
    assert svg.get("aria-hidden") == "true"
    assert svg.get("role") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_alone_says_who_and_what(kind):
    svg = parse(shape(kind, "Planner", told=True))[0]
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == f"Planner, {kind}"


def test_the_kinds_differ_by_outline_not_only_by_colour():
    outlines = {ElementTree.tostring(parse(shape(kind, "A"))[0][0]) for kind in KINDS}
    assert len(outlines) == len(KINDS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Maya Okafor", "MO"),
        ("planner", "P"),
        ("Jean de la Tour", "JT"),
        ("maya.okafor@acme.test", "MT"),
        ("", "?"),
        ("*** !!", "?"),
        ("Ärzte", "Ä"),
    ],
)
def test_initials(name, expected):
    assert initials(name) == expected


def test_an_icon_is_silent_unless_it_carries_the_meaning():
    assert parse(icon("check"))[0].get("aria-hidden") == "true"
    assert parse(icon("check", "done"))[0].get("aria-label") == "done"


def test_an_unknown_icon_is_a_fault_of_the_template():
    with pytest.raises(KeyError):
        icon("rocket")


def test_the_chain_is_drawn_and_told_with_the_same_content():
    figure = parse(draw_chain(NODES, EDGES))[0]
    picture, words = figure
    assert picture.get("aria-hidden") == "true"
    assert [item.find("div/strong").text for item in words] == [node.name for node in NODES]
    told = words_of(words)
    for part in ("calendar.read, calendar.write", "until 18:00", "without calendar.write", "5 minutes"):
        assert part in told
    drawn = words_of(picture)
    for part in ("Maya Okafor", "Booker", "calendar.read +1", "without calendar.write"):
        assert part in drawn


def test_every_scope_is_told_even_when_the_picture_sums_them_up():
    edge = ChainEdge(tuple(f"scope.{n}" for n in range(30)))
    told = words_of(parse(draw_chain(NODES[:2], (edge,)))[0][1])
    assert all(f"scope.{n}" in told for n in range(30))


def test_a_long_chain_is_told_only():
    nodes = (*NODES, ChainNode("resource", "Room"))
    figure = parse(draw_chain(nodes, (*EDGES, ChainEdge())))[0]
    assert [child.tag for child in figure] == ["ol"]


def test_an_ended_party_says_so_in_words():
    told = words_of(parse(draw_chain((ChainNode("agent", "Booker", ended=True),), ()))[0][1])
    assert "(ended)" in told


def test_no_parties_draw_nothing():
    assert draw_chain((), ()) == ""


def test_an_edge_too_few_is_refused():
    with pytest.raises(ValueError, match="one edge"):
        draw_chain(NODES, EDGES[:2])


@pytest.mark.parametrize("field", ["name", "note"])
def test_hostile_names_stay_text(field):
    node = ChainNode("agent", **({"name": "A"} | {field: HOSTILE}))
    edge = ChainEdge((HOSTILE,), (HOSTILE,), HOSTILE)
    markup = draw_chain((node, node), (edge,)) + shape("agent", HOSTILE, told=True)
    assert "<script" not in markup
    assert parse(markup).find(".//script") is None
    assert HOSTILE in words_of(parse(markup))


@pytest.mark.parametrize("name", ["x" * 200, "word " * 60, "W" * 40])
def test_long_names_keep_to_their_column(name):
    picture = parse(draw_chain((ChainNode("agent", name), ChainNode("agent", "B")), (ChainEdge((name,)),)))[
        0
    ][0]
    assert all(len(text.text or "") <= 23 for text in picture.iter("text"))


def test_nothing_needs_an_inline_style_or_script():
    markup = draw_chain(NODES, EDGES) + icon("copy") + shape("broker", "b") + draw_links(3, 1)
    attributes = {name for element in parse(markup).iter() for name in element.attrib}
    assert "style" not in attributes
    assert not [name for name in attributes if name.startswith("on")]


@pytest.mark.parametrize(("left", "right", "lines"), [(3, 1, 3), (1, 4, 4), (1, 1, 1)])
def test_links_fan_out_one_line_a_row(left, right, lines):
    svg = parse(draw_links(left, right))[0]
    assert svg[0].get("d").count("M") == lines
    assert svg.get("height") == str(max(left, right) * 40)


def test_links_of_nothing_are_nothing():
    assert draw_links(0, 3) == ""
