"""The search on a tiny model: what is kept, what one row says, and that a second run goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import search_dictionary
from benchmarks.search.dense import SHARES, differences, effects
from benchmarks.search.page import page, price, swing
from benchmarks.search.residuals import collect, kept, residuals
from benchmarks.search.small_sae import Recipe, batches, dead_share, trained
from sas_core.contrast.dense import mean_difference
from sas_core.contrast.shipped import load_behaviour
from sas_core.dictionary.corpus import Source
from sas_core.errors import BadInput
from sas_core.model.chat import Turns
from sas_core.model.dictionary import Dictionary
from sas_core.model.hooked import activations_at

HOOKS = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


def random_windows(count: int, size: int = 12) -> list[tuple[list[int], list[bool]]]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(4, 120, (count, size), generator=generator)
    return [(row.tolist(), [False] + [True] * (size - 1)) for row in ids]


def test_one_pass_gives_what_a_pass_for_each_hook_gives(llama) -> None:
    tokens = torch.tensor([ids for ids, _ in random_windows(2)])
    found = residuals(llama, HOOKS, tokens)
    assert list(found) == list(HOOKS)
    for name in HOOKS:
        torch.testing.assert_close(found[name], activations_at(llama, name, tokens))


def test_kept_positions_are_the_learnable_ones_in_order(llama, tmp_path) -> None:
    taken = random_windows(20)
    collect(llama, iter(taken), HOOKS, 60, tmp_path)
    rows = kept(tmp_path, HOOKS[1], 32, 60)
    by_hand = activations_at(llama, HOOKS[1], torch.tensor([ids for ids, _ in taken[:8]]))
    mask = torch.tensor([keep for _, keep in taken[:8]])
    np.testing.assert_allclose(rows, by_hand[mask][:60].numpy(), rtol=2e-3, atol=2e-3)
    assert len(kept(tmp_path, HOOKS[0], 32, 10**6)) == 60


def test_a_finished_collection_reads_no_text_again(llama, tmp_path) -> None:
    collect(llama, iter(random_windows(20)), HOOKS, 60, tmp_path)
    collect(llama, iter(()), HOOKS, 60, tmp_path)
    with pytest.raises(BadInput, match="ended 61 positions too early"):
        collect(llama, iter(()), HOOKS, 61, tmp_path)


def test_an_epoch_meets_every_row_once() -> None:
    rows = np.arange(12, dtype=np.float16)[:, None]
    recipe = Recipe(HOOKS[0], 4, 1, 12, epochs=2, batch_size=4)
    met = torch.cat(list(batches(rows, recipe))).flatten()
    assert sorted(met[:12].tolist()) == sorted(met[12:].tolist()) == list(range(12))
    assert met[:12].tolist() != met[12:].tolist()


@pytest.mark.parametrize("per", ["batch", "token"])
def test_a_trained_sae_rebuilds_better_than_a_fresh_one(per) -> None:
    generator = torch.Generator().manual_seed(1)
    atoms, codes = torch.randn(12, 32, generator=generator), torch.rand(512, 12, generator=generator)
    rows = ((codes * (codes > 0.8)) @ atoms).numpy().astype(np.float16)
    recipe = Recipe(HOOKS[0], 24, 3, len(rows), epochs=40, per=per, batch_size=64, lr=1e-2)
    x = torch.from_numpy(rows.astype(np.float32))

    def left_over(epochs: int) -> float:
        sae = trained(replace(recipe, epochs=epochs), rows)
        with torch.no_grad():
            out = sae.decode(sae.encode(x))
        return float((out - x).square().sum() / (x - x.mean(dim=0)).square().sum())

    assert left_over(40) < 0.5 * left_over(1)


def test_a_latent_is_dead_when_no_row_turns_it_on(engine) -> None:
    sae = engine.dictionary.sae
    rows = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float16)
    with torch.no_grad():
        codes = sae.encode(torch.from_numpy(rows.astype(np.float32)))
    by_hand = 1 - float((codes.max(dim=0).values > 0).float().mean())
    assert dead_share(Dictionary(sae), rows) == pytest.approx(by_hand)


def test_the_difference_is_the_one_that_vectors_are_compared_with(engine) -> None:
    pairs = load_behaviour("sea").train
    *_, expected = mean_difference(engine, pairs, "completion-mean")
    found = differences(engine.model, engine.turns, pairs, HOOKS)
    torch.testing.assert_close(found[engine.hook_name], torch.tensor(expected), rtol=1e-3, atol=1e-4)


def test_effects_have_a_row_for_each_share_and_a_price(engine) -> None:
    turns = Turns(engine.model.tokenizer, prepend_bos=False, n_ctx=engine.model.cfg.n_ctx)
    found = effects(engine.model, turns, load_behaviour("sea"), dict.fromkeys(HOOKS, engine.typical_norm), 3)
    assert [row["share"] for row in found[HOOKS[0]]] == list(SHARES)
    for rows in found.values():
        assert all(row["low"] <= row["change"] <= row["high"] and row["price"] for row in rows)
        assert swing(rows, 0.25) == rows[-1]["change"] - rows[0]["change"] != 0
        assert price(rows, 0.25) == pytest.approx((rows[-1]["price"] + rows[0]["price"]) / 2)


def test_a_search_measures_what_is_missing_alone_and_writes_a_page(llama, tmp_path, monkeypatch) -> None:
    text = tmp_path / "mix.jsonl"
    text.write_text("".join(
        json.dumps({"text": f"The train number {n} was late again and so we walked along the river."}) + "\n"
        for n in range(60)
    ))  # fmt: skip
    asked = search_dictionary.Search(
        layers=(0, 1), at=1, width=8, k=2, positions=256, epochs=1, batch_size=32, windows=2,
        context_size=32, behaviours=("sea",), pairs=2,
    )  # fmt: skip
    sources, held_out = [Source(str(text), 2.0)], {"prose": str(text)}
    common = search_dictionary.settings(asked, sources, held_out, "tiny", "float32")
    place = tmp_path / "found.json"

    def run() -> dict:
        measured = search_dictionary.Measured(place, common, asked.tables())
        search_dictionary.search(llama, asked, sources, held_out, tmp_path / "work", measured)
        return json.loads(place.read_text())

    found = run()
    recipes = {recipe.key for recipes in asked.tables().values() for recipe in recipes}
    assert set(found["rows"]) == recipes and len(recipes) == 2 + 3 + 3 + 3 + 1
    told = place.with_suffix(".md").read_text()
    assert told == page(found)
    assert "mix.jsonl 2" in told and str(tmp_path) not in told + place.read_text()
    for row in found["rows"].values():
        assert f"{row['held_out']['prose']['ce_increase']:.3f}" in told

    dropped = found["rows"].pop(asked.tables()["selection"][0].key)
    place.write_text(json.dumps(found))
    monkeypatch.setattr(search_dictionary, "effects", None)
    again = run()
    assert again["rows"][Recipe(**dropped["recipe"]).key]["held_out"] == dropped["held_out"]

    with pytest.raises(BadInput, match="other settings"):
        search_dictionary.Measured(place, common | {"windows": 3}, asked.tables())
