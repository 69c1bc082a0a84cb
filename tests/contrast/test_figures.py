"""The plane as a figure object: every latent once, where its frequencies are, coloured by its fate."""

import plotly.graph_objects as go
import pytest

from sas_core.contrast.choice import Choice
from sas_core.contrast.figures import BLUE, GREY, MANY_DOTS, ORANGE, Dot, dots, latents_at, plane
from sas_core.contrast.ranking import Ranking
from sas_core.contrast.table import fates
from tests.contrast.rankings import example, in_first, ranking_of


def dots_of(ranking: Ranking, tau: float = 0.7) -> list[Dot]:
    return dots(ranking.evidence, fates(ranking, Choice(tau)))


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(one for one in figure.data if one.name == name)


def crowded() -> Ranking:
    """Latents 1, 5 and 6 at one place, 5 the strongest."""
    return ranking_of(
        {1: in_first(9, 2.0), 5: in_first(9, 6.0), 6: in_first(9, 1.0), 2: in_first(1)}, {2: in_first(8)}
    )


def test_every_latent_is_in_exactly_one_dot_at_its_own_frequencies() -> None:
    ranking = example()
    found = dots_of(ranking)
    assert sorted(latent for dot in found for latent in dot.latents) == ranking.evidence.latents.tolist()
    places = {dot.latents: (dot.freq_pos, dot.freq_neg, dot.fate) for dot in found}
    assert places[(1,)] == pytest.approx((0.9, 0.2, "+"))
    assert places[(2, 7)] == pytest.approx((0.1, 0.7, "\u2212"))


def test_latents_at_one_place_share_a_dot_whose_hover_counts_them() -> None:
    found = dots_of(crowded())
    assert latents_at(found, 6) == (5, 1, 6)
    point = trace(plane(found, 0.7), "kept, + side").customdata[0]
    assert (point[0], point[1]) == (5, 3)
    assert "3 latents here" in point[2]


def test_a_latent_that_never_fires_has_no_dot() -> None:
    assert latents_at(dots_of(example()), 19) == ()


def test_sides_are_told_apart_by_colour_and_shared_latents_are_hollow() -> None:
    figure = plane(dots_of(example()), 0.7)
    assert trace(figure, "kept, + side").marker.color == ORANGE
    assert trace(figure, "kept, \u2212 side").marker.color == BLUE
    assert trace(figure, "shared").marker.symbol == "circle-open"
    assert trace(figure, "below tau").marker.color == GREY


@pytest.mark.parametrize(("positive", "negative", "below"), [(5.0, 4.0, "+"), (4.0, 5.0, "\u2212")])
def test_where_both_sides_are_kept_at_one_place_the_smaller_dot_lies_above(positive, negative, below) -> None:
    weak, high, low = (in_first(10, value) for value in (1.0, positive, negative))
    ranking = ranking_of({1: high, 2: weak}, {1: weak, 2: low})
    found = dots(ranking.evidence, fates(ranking, Choice(0.7, drop_shared=False)))
    assert {(dot.freq_pos, dot.freq_neg) for dot in found} == {(1.0, 1.0)}
    assert plane(found, 0.7, drop_shared=False).data[0].name == f"kept, {below} side"


def test_a_dot_is_larger_where_the_mean_is_larger() -> None:
    found = dots_of(ranking_of({1: in_first(8, 1.0), 2: in_first(9, 4.0)}, {}))
    sizes = dict(zip(trace(plane(found, 0.7), "kept, + side").x,
                     trace(plane(found, 0.7), "kept, + side").marker.size, strict=True))  # fmt: skip
    assert sizes[0.9] > sizes[0.8] > 0


def test_both_tau_lines_stand_at_tau() -> None:
    lines = [shape for shape in plane(dots_of(example()), 0.55).layout.shapes if shape.type == "line"]
    assert {(line.x0, line.x1) for line in lines if line.x0 == line.x1} == {(0.55, 0.55)}
    assert {(line.y0, line.y1) for line in lines if line.y0 == line.y1} == {(0.55, 0.55)}


def test_the_plane_says_in_words_what_its_parts_are() -> None:
    def words(**options) -> set[str]:
        return {note.text for note in plane(dots_of(example()), 0.7, **options).layout.annotations}

    assert {"tau 0.70", "kept, + side", "kept, \u2212 side", "shared, dropped"} <= words()
    kept = words(drop_shared=False)
    assert {"+ side alone", "\u2212 side alone", "both sides"} <= kept
    assert not any("kept" in word or "dropped" in word for word in kept)


def test_only_where_shared_latents_are_dropped_do_two_tinted_parts_survive() -> None:
    def tints(**options) -> int:
        shapes = plane(dots_of(example()), 0.7, **options).layout.shapes
        return sum(shape.type == "rect" for shape in shapes)

    assert (tints(), tints(drop_shared=False), tints(muted=True)) == (2, 0, 0)


def test_labels_without_room_are_left_out() -> None:
    notes = {note.text for note in plane(dots_of(example()), 0.95).layout.annotations}
    assert "shared, dropped" not in notes and "kept, + side" in notes


def test_the_selected_latent_has_a_ring_and_can_be_one_of_many_at_its_dot() -> None:
    ring = trace(plane(dots_of(crowded()), 0.7, selected=6), "selected")
    assert (ring.x[0], ring.y[0]) == pytest.approx((0.9, 0.0))
    assert all(one.name != "selected" for one in plane(dots_of(crowded()), 0.7, selected=19).data)


def test_a_click_does_not_fade_the_other_dots() -> None:
    for one in plane(dots_of(example()), 0.7).data:
        assert one.unselected.marker.opacity == one.marker.opacity


def test_an_outdated_plane_has_no_colour_of_a_side() -> None:
    figure = plane(dots_of(example()), 0.7, muted=True)
    assert {one.marker.color for one in figure.data} == {GREY}


def test_many_dots_are_drawn_by_webgl_and_few_as_svg() -> None:
    many = [Dot(i / 5000, 0.5, "below tau", (i,), 1.0) for i in range(MANY_DOTS + 1)]
    assert plane(many, 0.7).data[0].type == "scattergl"
    assert plane(many[:10], 0.7).data[0].type == "scatter"


def test_no_dots_still_make_a_plane() -> None:
    assert len(plane([], 0.7).data) == 0
