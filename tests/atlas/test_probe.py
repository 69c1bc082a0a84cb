"""What a text makes fire, against dense activations ranked by plain loops."""

from typing import Any

import numpy as np
import pytest
import torch

from sas_core.atlas import firing
from sas_core.atlas.probe import fires_at, fires_on, read_prompt
from sas_core.errors import BadInput
from sas_core.steering.engine import Engine
from tests.helpers import D_SAE, N_CTX, build_dictionary

TEXT = "The train was late again, so we walked along the river."
OTHER = "What is the sea like in winter? The sun is low and the days are kind."
ARCHITECTURES = ["jumprelu", "topk", "gated"]


def dense(engine: Engine, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Latents `[pos, d_sae]` with zeros at excluded positions, and which positions those are."""
    latents, excluded = engine.latents_of(ids)
    values = latents.clone()
    values[excluded] = 0
    return values.numpy(), excluded.numpy()


def with_sae(engine: Engine, architecture: str) -> Engine:
    return Engine(engine.model, build_dictionary(architecture), engine.placement, engine.name)


@pytest.fixture
def sinking(engine: Engine) -> Engine:
    """Some, not all, of the texts' tokens count as attention sinks."""
    ids = engine.turns.encode(TEXT, chat=False).ids
    from sas_core.model.hooked import activations_at

    norms = activations_at(engine.model, engine.hook_name, torch.tensor([ids]))[0].norm(dim=-1)
    engine.typical_norm = float(norms.quantile(0.8)) / 4
    return engine


def test_every_token_has_its_latents_strongest_first_and_nothing_else(sinking: Engine) -> None:
    view = read_prompt(sinking, TEXT, chat=True, k=3)
    ids = sinking.turns.encode(TEXT, chat=True).ids
    expected, excluded = dense(sinking, ids)

    assert view.pieces == tuple(sinking.turns.pieces(ids))
    assert view.excluded == frozenset(np.flatnonzero(excluded).tolist())
    special = {at for at, token in enumerate(ids) if token in sinking.turns.special_ids}
    assert special < view.excluded, "special tokens and some sinks"
    for position in range(len(ids)):
        found = view.token(position)
        row = expected[position]
        order = sorted(np.flatnonzero(row > 0).tolist(), key=lambda latent: (-row[latent], latent))
        assert [latent for latent, _ in found] == order
        assert [value for _, value in found] == pytest.approx([row[latent] for latent in order], abs=1e-5)
        assert view.strongest[position] == found[:3]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_latent_along_the_text_is_its_column_of_the_dense_codes(
    engine: Engine, architecture: str
) -> None:
    other = with_sae(engine, architecture)
    view = read_prompt(other, TEXT)
    expected, _ = dense(other, other.turns.encode(TEXT, chat=False).ids)

    assert (expected > 0).any(axis=0).sum() > 5
    for latent in range(D_SAE):
        assert view.values(latent) == pytest.approx(expected[:, latent].clip(0), abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_test_box_shades_the_same_values(sinking: Engine, architecture: str) -> None:
    norm, other = sinking.typical_norm, with_sae(sinking, architecture)
    other.typical_norm = norm
    expected, excluded = dense(other, other.turns.encode(OTHER, chat=False).ids)
    assert 0 < excluded.sum() < len(excluded)
    for latent in (0, 7, D_SAE - 1):
        shaded = fires_at(other, OTHER, latent)
        assert shaded.values == pytest.approx(expected[:, latent], abs=1e-5)
        assert shaded.excluded == frozenset(np.flatnonzero(excluded).tolist())
        assert "".join(shaded.pieces) == OTHER


@pytest.mark.parametrize("latent", [-1, D_SAE])
def test_the_test_box_refuses_a_latent_that_does_not_exist(engine: Engine, latent: int) -> None:
    with pytest.raises(BadInput, match=r"latents 0 to 47\."):
        fires_at(engine, TEXT, latent)


def over_text(engine: Engine, text: str, by: str) -> np.ndarray:
    values, excluded = dense(engine, engine.turns.encode(text, chat=False).ids)
    counted = values[~excluded]
    return counted.max(axis=0) if by == "max" else counted.mean(axis=0)


@pytest.mark.parametrize("by", ["max", "mean"])
def test_latents_are_ranked_by_their_maximum_or_mean_over_the_counted_tokens(
    sinking: Engine, by: Any
) -> None:
    found = fires_on(sinking, TEXT, by=by, k=10)
    expected = over_text(sinking, TEXT, by)
    order = sorted(np.flatnonzero(expected > 0).tolist(), key=lambda latent: -expected[latent])[:10]

    assert [row.latent for row in found.rows] == order
    for row in found.rows:
        assert row.value == pytest.approx(expected[row.latent], abs=1e-5) and row.against_value is None
        along = found.values(row.latent)
        assert along[row.peak] == max(along) and row.peak not in found.excluded


@pytest.mark.parametrize("by", ["max", "mean"])
def test_against_a_second_text_latents_are_ranked_by_what_they_fire_more(sinking: Engine, by: Any) -> None:
    found = fires_on(sinking, TEXT, by=by, against=OTHER, k=D_SAE)
    first, second = over_text(sinking, TEXT, by), over_text(sinking, OTHER, by)
    more = first - second
    order = sorted(np.flatnonzero(more > 0).tolist(), key=lambda latent: -more[latent])

    assert 0 < len(order) < D_SAE and [row.latent for row in found.rows] == order
    assert [row.against_value for row in found.rows] == pytest.approx(second[order], abs=1e-5)
    assert found.pieces == read_prompt(sinking, TEXT).pieces, "the first text is the one that is shown"


def test_a_weight_changes_the_order_and_not_the_values(engine: Engine) -> None:
    plain = fires_on(engine, TEXT, k=D_SAE)
    weighed = fires_on(engine, TEXT, weigh=lambda latents: 1.0 / (1.0 + latents), k=D_SAE)
    values = {row.latent: row.value for row in plain.rows}

    assert {row.latent: row.value for row in weighed.rows} == values
    order = [row.latent for row in weighed.rows]
    assert order == sorted(values, key=lambda i: -values[i] / (1.0 + i)) != [row.latent for row in plain.rows]


def test_a_text_against_itself_leaves_no_latent(engine: Engine) -> None:
    assert fires_on(engine, TEXT, against=TEXT).rows == ()


def test_a_text_of_special_tokens_alone_fires_nothing(engine: Engine) -> None:
    found = fires_on(engine, "<|im_end|><|im_end|>", by="mean")
    assert found.rows == () and found.counted == 0 and len(found.pieces) == 2


def test_reading_a_few_rows_at_a_time_changes_nothing(engine: Engine, monkeypatch) -> None:
    at_once = read_prompt(engine, TEXT)
    monkeypatch.setitem(firing._CODES_AT_ONCE, "cpu", 2 * D_SAE)
    in_parts = read_prompt(engine, TEXT)

    assert np.array_equal(in_parts.codes.starts, at_once.codes.starts)
    assert np.array_equal(in_parts.codes.latents, at_once.codes.latents)
    np.testing.assert_allclose(in_parts.codes.values, at_once.codes.values, atol=1e-5)


@pytest.mark.parametrize("ask", [fires_on, read_prompt, lambda engine, text: fires_at(engine, text, 3)])
def test_an_empty_or_too_long_text_costs_one_sentence_and_no_turn(engine: Engine, ask, monkeypatch) -> None:
    def refuse(session: str = "") -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(engine.queue, "enter", refuse)
    with pytest.raises(BadInput, match="no text to read"):
        ask(engine, " \n")
    with pytest.raises(BadInput, match=f"the limit is {N_CTX - 1}"):
        ask(engine, "late again " * N_CTX)


def test_chat_without_a_template_is_refused(raw_engine: Engine) -> None:
    with pytest.raises(BadInput, match="no chat template"):
        read_prompt(raw_engine, TEXT, chat=True)
    assert "".join(read_prompt(raw_engine, TEXT).pieces) == TEXT


def test_the_text_waits_for_its_turn_and_leaves_it(engine: Engine) -> None:
    from threading import Thread

    found: list[Any] = []
    with engine.turn("first"):
        reading = Thread(target=lambda: found.append(read_prompt(engine, TEXT, session="second")))
        reading.start()
        reading.join(0.3)
        assert reading.is_alive() and not found
    reading.join(20)
    assert len(found) == 1 and len(engine.queue) == 0
