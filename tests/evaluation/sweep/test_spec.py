"""A sweep as it is declared: read whole, said again in short, and refused with the field that is wrong."""

import itertools

import pytest

from sas_core.errors import BadInput
from sas_core.evaluation.sweep.cells import Cell, Setting, cells_of, count_cells, settings_of, varied
from sas_core.evaluation.sweep.spec import SweepSpec, parse_settled, parse_spec, read_spec


def test_a_spec_is_the_same_after_it_was_written_and_read_again() -> None:
    spec = parse_spec(
        "name: a\nbehaviour: sea\naxes: {scale: [2, -1, -0.0], tau: [0.7, 0.9], top_k: [null, 5]}\n"
        "text: {words: {sea: {plus: [ship]}}}\n"
    )
    assert spec.axes.scale == (-1.0, 0.0, 2.0)
    assert parse_spec(spec.dump()) == spec
    assert "price" not in SweepSpec(name="a", behaviour="sea").dump(), "defaults are left out"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("behaviour: sea", "name: field required"),
        ("name: a", "give one of behaviour, pairs or vector"),
        ("name: a\nbehaviour: sea\nvector: v", "give one of behaviour, pairs or vector"),
        ("name: a\nbehaviour: sea\nlayers: [1]", "layers: there is no such field"),
        ("name: a\nbehaviour: sea\naxes: {tau: [1.5]}", "axes.tau.0: input should be less than"),
        ("name: a\nbehaviour: sea\naxes: {tau: []}", "axes.tau: needs at least one value"),
        ("name: a\nbehaviour: sea\naxes: {scale: [0]}", "axes.scale: needs a strength other than 0"),
        ("name: a\nbehaviour: sea\naxes: {scale: [.nan]}", "axes.scale: needs a strength other than 0"),
        ("name: a\nbehaviour: sea\ncontrols: [fish]", "controls.0: input should be 'random'"),
        ("name: a\nbehaviour: sea\ncontrols: [system]", "the control system needs system"),
        ("name: a\nvector: v\naxes: {tau: [0.5]}", "a finished vector cannot vary tau"),
        ("name: a\npairs: p.jsonl", "pairs of your own need heldout"),
        ("name: a\nbehaviour: sea\nmeasures: []", "measures needs at least one of"),
        ("name: [", "is no YAML at line 1"),
        ("- 1", "is no sweep"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_spec(text)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml cannot be read"):
        read_spec(tmp_path / "none.yaml")


def test_cells_are_the_product_of_the_axes_and_each_control_at_every_strength_but_0() -> None:
    spec = parse_spec(
        "name: a\nbehaviour: sea\naxes: {scale: [-1, 2], tau: [0.5, 0.7], error_term: [true, false]}\n"
        "controls: [dense, random, system]\nseeds: 2\nsystem: {positive: a, negative: b}\n"
    )
    with pytest.raises(ValueError, match="not settled"):
        settings_of(spec)
    spec = spec.settled("free-text")
    assert len(settings_of(spec)) == 4 and varied(spec) == ("scale", "tau", "error_term")
    cells = cells_of(spec)
    # three strengths, two of dense, two seeds of random at each, two system prompts
    assert len(cells) == 4 * (3 + 2 + 4 + 2) == len(set(cells))
    assert {c.seed for c in cells if c.arm == "random"} == {0, 1}
    assert [Cell.from_dict(cell.as_dict()) for cell in cells] == list(cells)


def test_a_sweep_that_is_too_large_is_refused_before_it_begins() -> None:
    spec = SweepSpec(name="a", behaviour="sea", axes={"scale": tuple(range(1, 2000))})
    with pytest.raises(BadInput, match="at most 5,000 are run"):
        cells_of(spec.settled("free-text"))
    many = tuple(range(1, 3000))
    vast = SweepSpec(
        name="a", behaviour="sea", axes={"scale": many, "top_k": many, "sae": tuple(map(str, many))}
    )
    assert count_cells(vast) == 2999**2 * (3000 + 2999 * (3 + 1))


def test_cells_are_counted_as_they_are_made() -> None:
    for controls in ((), ("dense",), ("random", "caa", "system"), ("shuffled", "dense")):
        system = {"positive": "a", "negative": "b"}
        spec = SweepSpec(
            name="a", behaviour="sea", controls=controls, seeds=2, system=system,
            axes={"scale": (1, 2), "tau": (0.5, 0.7)},
        ).settled("free-text")  # fmt: skip
        assert count_cells(spec) == len(cells_of(spec)) and Setting().tau == 0.7


PUBLISHED, KEPT = ((None,), (True,)), ((32,), (False,))


@pytest.mark.parametrize(
    ("form", "axes", "settled"),
    [
        ("free-text", "{}", KEPT),
        ("free-text", "{tau: [0.5], top_k: [auto], drop_shared: [auto]}", KEPT),
        ("multiple-choice", "{}", PUBLISHED),
        ("multiple-choice", "{top_k: [auto, 5]}", ((None, 5), (True,))),
        ("free-text", "{top_k: [null, 5, auto]}", ((None, 5, 32), (False,))),
        ("free-text", "{drop_shared: [true]}", PUBLISHED),
        ("free-text", "{drop_shared: [false]}", ((None,), (False,))),
        ("free-text", "{drop_shared: [auto, false, true]}", ((None,), (False, True))),
    ],
)
def test_what_is_left_out_is_what_contrast_begins_with(form: str, axes: str, settled: object) -> None:
    spec = parse_spec(f"name: a\nbehaviour: sea\naxes: {axes}").settled(form)
    assert (spec.axes.top_k, spec.axes.drop_shared) == settled
    assert {(s.top_k, s.drop_shared) for s in settings_of(spec)} == set(itertools.product(*settled))
    # what was run says so in full
    assert spec.settled("free-text") == spec == parse_settled(spec.dump())


def test_a_vector_has_nothing_to_settle() -> None:
    spec = parse_spec("name: a\nvector: v\naxes: {top_k: [null], drop_shared: [true]}")
    assert spec.settled("free-text") == spec and settings_of(spec) == (Setting(),)
    assert settings_of(parse_spec("name: a\nvector: v")) == (Setting(),)


def test_a_sweep_from_before_free_text_began_otherwise_is_read_as_it_was_run() -> None:
    spec = parse_settled("name: a\nbehaviour: sea\naxes: {tau: [0.5, 0.7], top_k: [null, 5]}")
    assert (spec.axes.top_k, spec.axes.drop_shared) == ((None, 5), (True,))


def test_fields_are_changed_from_outside_and_taken_away() -> None:
    text = "name: a\nbehaviour: sea\nlimit: 4\naxes: {scale: [1]}\n"
    spec = parse_spec(text, changes=("axes.scale=[2, 3]", "behaviour=", "vector=v.json", "limit=7"))
    assert (spec.axes.scale, spec.behaviour, spec.vector) == ((0.0, 2.0, 3.0), None, "v.json")
    assert spec.limit == 7
    for wrong in ("limit", "=3", "limit.x=3", "axes.tau=["):
        with pytest.raises(BadInput, match="--set"):
            parse_spec(text, changes=(wrong,))
