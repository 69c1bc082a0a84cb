"""The figures of a dictionary's card, against their definitions computed plainly."""

import pytest
import torch

from sas_core.dictionary.measure import measure
from sas_core.dictionary.measures import DENSITY_EDGES, density_counts
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink


@pytest.fixture
def taken(engine):
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(4, engine.model.cfg.d_vocab, (3, 20), generator=generator)
    return [(row.tolist(), [False] + [True] * 19) for row in ids]


def test_fvu_l0_and_silent_latents_are_their_definitions(engine, taken):
    found = measure(engine.model, engine.dictionary, iter(taken), rows=2)
    ids = torch.tensor([ids for ids, _ in taken])
    keep = torch.tensor([keep for _, keep in taken])
    activations = activations_at(engine.model, engine.hook_name, ids)
    assert not is_sink(activations)[keep].any()
    x = activations[keep]
    codes = engine.dictionary.encode(x)
    rebuilt = engine.dictionary.sae.decode(codes)
    variance = (x - x.mean(dim=0)).square().sum()
    assert found.fvu == pytest.approx(float((x - rebuilt).square().sum() / variance), rel=1e-4)
    assert found.l0 == pytest.approx(float((codes > 0).sum() / len(x)), rel=1e-6)
    assert found.dead == int((~(codes > 0).any(dim=0)).sum())
    assert found.positions == len(x)
    squares = [sum((a - b) ** 2 for a, b in zip(*pair, strict=True))
               for pair in zip(x.tolist(), rebuilt.tolist(), strict=True)]  # fmt: skip
    assert found.mse == pytest.approx(sum(squares) / len(squares), rel=1e-4)


def test_the_density_histogram_counts_each_latent_by_how_often_it_fires(engine, taken):
    found = measure(engine.model, engine.dictionary, iter(taken), rows=2)
    ids, keep = torch.tensor([ids for ids, _ in taken]), torch.tensor([keep for _, keep in taken])
    codes = engine.dictionary.encode(activations_at(engine.model, engine.hook_name, ids)[keep])
    by_hand = {"never": 0} | {f"{e / 2:g}": 0 for e in range(-12, 0)}
    for latent in codes.T:
        share = sum(value > 0 for value in latent.tolist()) / len(codes)
        below = [e / 2 for e in range(-12, 0) if share >= 10 ** (e / 2)]
        by_hand[f"{max(below):g}" if share else "never"] += 1
    assert found.as_dict()["density"] == by_hand
    assert sum(by_hand.values()) == codes.shape[-1] and len([n for n in by_hand.values() if n]) > 1


def test_cross_entropies_are_those_of_the_model_run_by_hand(engine, taken):
    found = measure(engine.model, engine.dictionary, iter(taken), rows=2)
    losses = []
    for ids, _ in taken:
        logits = engine.model(torch.tensor([ids]), return_type="logits")[0].log_softmax(dim=-1)
        losses += [-float(logits[i, ids[i + 1]]) for i in range(len(ids) - 1)]
    assert found.ce_clean == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert len({found.ce_clean, found.ce_spliced, found.ce_zero_ablated, found.ce_mean_ablated}) == 4
    assert found.ce_increase == pytest.approx(found.ce_spliced - found.ce_clean)


def test_the_divergence_is_from_the_clean_model_to_the_spliced_one_over_all_positions(engine, taken):
    found = measure(engine.model, engine.dictionary, iter(taken), rows=2)
    total, count = 0.0, 0
    for ids, keep in taken:
        tokens = torch.tensor([ids])

        def splice(value, hook, keep=keep):
            for position in range(len(keep)):
                if keep[position]:
                    x = value[0, position].clone()
                    value[0, position] = engine.dictionary.sae.decode(engine.dictionary.encode(x[None]))[0]
            return value

        clean = engine.model(tokens)[0].double().log_softmax(dim=-1)
        spliced = engine.model.run_with_hooks(tokens, fwd_hooks=[(engine.hook_name, splice)])[0]
        spliced = spliced.double().log_softmax(dim=-1)
        for p, q in zip(clean, spliced, strict=True):
            total += float((p.exp() * (p - q)).sum())
            count += 1
    assert found.kl == pytest.approx(total / count, rel=1e-4) and found.kl > 1e-3


def test_how_the_windows_are_batched_changes_nothing(engine, taken):
    one, three = (measure(engine.model, engine.dictionary, iter(taken), rows=n).as_dict() for n in (1, 3))
    assert one.keys() == three.keys() and one["density"] == three["density"]
    for name in one.keys() - {"density"}:
        assert one[name] == pytest.approx(three[name], abs=2e-4), name


def test_a_share_on_an_edge_belongs_to_the_bin_above_and_a_rarer_one_than_the_first_to_the_first():
    counts = dict(zip(DENSITY_EDGES, density_counts([0, 1, 10, 100, 999, 1000, 1000], 1000), strict=False))
    assert counts == {**dict.fromkeys(DENSITY_EDGES[:-1], 0), -3.0: 1, -2.0: 1, -1.0: 1, -0.5: 3}
    assert density_counts([0, 3], 10_000_000) == (1, *[0] * 11)
