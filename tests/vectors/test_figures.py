"""Figures of vectors as objects: what is drawn, in which order and colour."""

import pytest

from sas_core.vectors.compose import Part, compose
from sas_core.vectors.figures import ABOVE, BELOW, parts_figure, values_alt, values_figure


def picked(make_vector, values, name="v"):
    features = [{"index": i, "value": v} for i, v in values.items()]
    return make_vector(name=name, method="latents", features=features)


def test_values_go_from_the_most_positive_to_the_most_negative_coloured_by_sign(make_vector):
    (bars,) = values_figure(make_vector()).data
    assert list(bars.x) == ["3", "7", "0"]
    assert list(bars.y) == [2.5, 0.5, -1.25]
    assert list(bars.marker.color) == [ABOVE, ABOVE, BELOW]


def test_of_many_latents_the_largest_200_are_drawn(make_vector):
    sae = make_vector().sae.model_dump() | {"d_sae": 500}
    features = [{"index": i, "value": (-1) ** i * (1.0 + i)} for i in range(300)]
    vector = make_vector(method="latents", features=features, sae=sae)
    (bars,) = values_figure(vector).data
    assert len(bars.x) == 200
    assert min(abs(y) for y in bars.y) == 101.0


def test_the_figure_is_also_said_in_words(make_vector):
    assert values_alt(make_vector()) == "2 latents above zero and 1 below; values from -1.25 to +2.5."


def test_parts_are_stacked_and_the_sum_is_marked(make_vector):
    a, b = picked(make_vector, {1: 1.0, 2: 3.0}, "a"), picked(make_vector, {2: 1.0}, "b")
    parts = [Part(a, 2.0), Part(b, -1.0)]
    figure = parts_figure(parts, compose(parts))
    first, second, total = figure.data
    assert list(first.x) == list(total.x) == ["2", "1"]
    assert (list(first.y), list(second.y)) == ([6.0, 2.0], [-1.0, 0.0])
    assert list(total.y) == [5.0, 2.0]
    assert figure.layout.barmode == "relative"


@pytest.mark.parametrize("name", ["<b>x</b>", "<a href='http://x'>y</a>", "a & b"])
def test_a_name_is_not_markup_in_a_legend(make_vector, name):
    part = Part(picked(make_vector, {1: 1.0}, name), 1.0)
    shown = parts_figure([part, part], compose([part, part])).data[0].name
    assert "<" not in shown
    assert "&" in shown
