"""Text from a model or a user as markup: it is shown, never read."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from pages.shared.tokens import chips_html, entry_html, shaded_html, tokens_html

NASTY = (
    "<img src=x onerror=alert(1)>",
    "![](http://x)",
    "$x$",
    "**bold**",
    "</div><script>",
    '" onmouseover="x',
)


class Seen(HTMLParser):
    """What a browser would make of markup: its elements, their attributes, and the text that is read."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", [], []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def shaded(pieces=("The", " sea"), values=(0.0, 2.0), **options) -> Seen:
    return Seen(shaded_html(pieces, values, scale=4.0, **options))


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize(
    "draw",
    [
        lambda text: tokens_html([text], [1.0]),
        lambda text: shaded_html([text], [1.0], scale=1.0, peak=0),
        lambda text: shaded_html([text], [0.0], scale=1.0, excluded=[0]),
        lambda text: chips_html([(text, 1.0)]),
        lambda text: entry_html("1.00", "", text),
    ],
)
def test_what_looks_like_markup_is_shown_as_it_was_written(nasty: str, draw: Callable[[str], str]) -> None:
    seen = Seen(draw(nasty))
    assert nasty in seen.text
    assert set(seen.tags) <= {"div", "span"}
    allowed = {"style", "title", "tabindex", "role", "aria-label"}
    assert all(set(attributes) <= allowed for attributes in seen.attributes)


def test_each_token_that_fires_says_its_value_and_can_be_reached_by_keyboard() -> None:
    box, silent, fires = shaded().attributes
    assert "tabindex" not in box and "tabindex" not in silent
    assert fires["tabindex"] == "0"
    assert fires["title"] == fires["aria-label"] == "·sea 2"


def test_the_peak_is_underlined_and_says_so() -> None:
    seen = shaded(values=(1.0, 2.0), peak=1)
    assert "underline" not in seen.attributes[1]["style"]
    assert "underline" in seen.attributes[2]["style"] and "peak" in seen.attributes[2]["aria-label"]


def test_the_shade_grows_with_the_value_up_to_the_scale() -> None:
    styles = [a["style"] for a in shaded(("a", "b", "c"), (1.0, 4.0, 9.0)).attributes[1:]]
    assert ["0.15)" in styles[0], "0.60)" in styles[1], "0.60)" in styles[2]] == [True, True, True]


def test_what_was_not_counted_says_so_and_has_no_value() -> None:
    assert shaded(values=(3.0, 0.0), excluded=[0]).attributes[1]["title"] == "The not counted"


def test_a_cut_text_shows_where_it_goes_on() -> None:
    pieces = ("a", "b", "c", "d")
    assert shaded(pieces, (0, 1, 0, 0), first=1, last=3).text == "…bc…"
    assert shaded(pieces, (0, 1, 0, 0), first=-5, last=9).text == "abcd"


@pytest.mark.parametrize(
    ("how", "text"), [("as written", " a\n\tb"), ("one line", " a⏎\tb"), ("visible", "·a⏎→b")]
)
def test_white_space_is_shown_as_asked(how: str, text: str) -> None:
    seen = shaded((" a\n", "\tb"), (1.0, 0.0), white_space=how)
    assert seen.text == text
    assert ("wbr" in seen.tags) == (how == "visible"), "without spaces a line has nowhere to break"
