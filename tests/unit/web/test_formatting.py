"""Words for times, durations, counts and ids."""

import pytest
from flask import Flask, render_template_string

from broker.web.formatting import (
    absolute_time,
    copy_button,
    copy_line,
    count,
    duration,
    host_of,
    id_tag,
    in_words,
    install_formatting,
    number,
    readable_json,
    relative_time,
    shorten_id,
    time_tag,
)

NOW = 1_772_618_700  # 4 March 2026, 10:05 UTC
HOSTILE = '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (0, "just now"),
        (-9, "just now"),
        (9, "in a moment"),
        (-10, "10 seconds ago"),
        (-59, "59 seconds ago"),
        (-60, "1 minute ago"),
        (-3599, "59 minutes ago"),
        (-3600, "1 hour ago"),
        (28_800, "in 8 hours"),
        (86_400, "in 1 day"),
        (-400 * 86_400, "1 year ago"),
    ],
)
def test_relative_time(distance, expected):
    assert relative_time(NOW + distance, NOW) == expected


def test_absolute_time_is_english_and_utc():
    assert absolute_time(NOW) == "4 March 2026, 10:05 UTC"


def test_a_time_shows_the_distance_and_tells_the_date():
    tag = time_tag(NOW - 180, NOW)
    assert tag.startswith(
        '<time datetime="2026-03-04T10:02:00Z" title="4 March 2026, 10:02 UTC">3 minutes ago'
    )
    assert '<span class="visually-hidden"> (4 March 2026, 10:02 UTC)</span>' in tag


def test_a_missing_time_is_a_word():
    assert "never" in time_tag(None, NOW)
    assert "not yet" in time_tag(None, NOW, missing="not yet")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "no time"),
        (1, "1 second"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (5400, "1 hour 30 minutes"),
        (28_800, "8 hours"),
        (2_592_000, "30 days"),
        (90_061, "1 day 1 hour"),
        (86_405, "1 day"),
    ],
)
def test_durations_are_words_with_two_units_at_most(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0 agents"), (1, "1 agent"), (2, "2 agents"), (12_044, "12,044 agents")]
)
def test_counts_carry_their_noun(value, expected):
    assert count(value, "agent") == expected


def test_an_irregular_plural_is_given():
    assert count(2, "person", "people") == "2 people"
    assert count(1, "person", "people") == "1 person"


def test_numbers_are_grouped():
    assert number(1_234_567) == "1,234,567"


@pytest.mark.parametrize(
    ("items", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_in_words(items, expected):
    assert in_words(items) == expected


def test_a_list_may_offer_a_choice():
    assert in_words(["a", "b"], last="or") == "a or b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("agt_7xk29bq4m0v3t8yw5hzd", "agt_7xk2…5hzd"),
        ("planner", "planner"),
        ("00u1a2b3c4d5e6f7g8h9", "00u1a2…g8h9"),
        ("https://sts.example.com/a_b", "https:…/a_b"),
    ],
)
def test_ids_are_shortened_in_the_middle(value, expected):
    assert shorten_id(value) == expected


def test_a_short_id_keeps_the_whole_on_hover_and_copy():
    tag = id_tag("agt_7xk29bq4m0v3t8yw5hzd", "agent id")
    assert 'title="agt_7xk29bq4m0v3t8yw5hzd"' in tag
    assert 'data-copy="agt_7xk29bq4m0v3t8yw5hzd"' in tag
    assert 'aria-label="Copy agent id"' in tag


def test_a_copy_button_is_hidden_until_a_script_can_serve_it():
    assert " hidden>" in copy_button("x", "y")


@pytest.mark.parametrize("make", [id_tag, copy_line, copy_button], ids=lambda make: make.__name__)
def test_hostile_values_stay_text(make):
    assert "<script" not in make(HOSTILE, HOSTILE)
    assert "&lt;script&gt;" in make(HOSTILE, HOSTILE)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.test/callback", "a.test"),
        ("http://127.0.0.1:80/x", "127.0.0.1:80"),
        ("/me/agents", "/me/agents"),
    ],
)
def test_host_of(url, expected):
    assert host_of(url) == expected


def test_json_keeps_the_order_of_its_keys():
    assert (
        readable_json({"sub": "ü", "act": {"sub": "b"}})
        == '{\n  "sub": "ü",\n  "act": {\n    "sub": "b"\n  }\n}'
    )


def test_templates_get_the_filters_with_the_clock_inside():
    app = Flask("pages")
    moments = iter([NOW, NOW + 60])
    install_formatting(app, lambda: next(moments))
    with app.app_context():
        assert "just now" in render_template_string("{{ at | ago }}", at=NOW)
        assert "1 minute ago" in render_template_string("{{ at | ago }}", at=NOW)


@pytest.mark.parametrize(("at", "expected"), [(NOW + 3600, "yes"), (NOW + 90_000, "no"), (None, "no")])
def test_expires_soon_means_within_a_day(at, expected):
    app = Flask("pages")
    install_formatting(app, lambda: NOW)
    with app.app_context():
        page = render_template_string("{{ 'yes' if at is expires_soon else 'no' }}", at=at)
    assert page == expected
