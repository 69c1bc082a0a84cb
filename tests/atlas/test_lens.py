"""What a latent writes, against the model's own unembedding of its decoder row."""

import pytest
import torch

from sas_core.atlas.lens import direction_logits, writes


@pytest.mark.parametrize("which", ["engine", "raw_engine"])
def test_writes_are_the_extreme_logits_of_the_row_through_the_models_own_norm(which, request):
    """Oracle: the model's ln_final and unembed modules, run on the row itself."""
    engine = request.getfixturevalue(which)
    latents = [0, 3, 17]
    rows = engine.dictionary.sae.W_dec[latents]
    with torch.no_grad():
        # large, so that the norm's epsilon does not count; the bias of a LayerNorm is not the latent's doing
        norm = engine.model.ln_final(1e4 * rows[:, None]) - engine.model.ln_final(
            torch.zeros(1, 1, rows.shape[1])
        )
        logits = (norm @ engine.model.W_U)[:, 0]
    for found, row in zip(writes(engine, latents, k=5), logits, strict=True):
        assert found.up == tuple(engine.turns.pieces(row.topk(5).indices.tolist()))
        assert found.down == tuple(engine.turns.pieces((-row).topk(5).indices.tolist()))


def test_the_scale_of_a_direction_does_not_change_the_order(engine):
    rows = engine.dictionary.sae.W_dec[:4]
    one, ten = direction_logits(engine, rows), direction_logits(engine, 10 * rows)
    assert torch.equal(one.argsort(dim=-1), ten.argsort(dim=-1))
