"""The figures of a dictionary's card, against their definitions computed plainly."""

import pytest
import torch

from sas_core.dictionary.measure import measure
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


def test_cross_entropies_are_those_of_the_model_run_by_hand(engine, taken):
    found = measure(engine.model, engine.dictionary, iter(taken), rows=2)
    losses = []
    for ids, _ in taken:
        logits = engine.model(torch.tensor([ids]), return_type="logits")[0].log_softmax(dim=-1)
        losses += [-float(logits[i, ids[i + 1]]) for i in range(len(ids) - 1)]
    assert found.ce_clean == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert len({found.ce_clean, found.ce_spliced, found.ce_zero_ablated, found.ce_mean_ablated}) == 4
    assert found.ce_increase == pytest.approx(found.ce_spliced - found.ce_clean)
