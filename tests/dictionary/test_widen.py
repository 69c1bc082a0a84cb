"""A wider dictionary begun from a finished one: old latents stay, further ones fire at what it missed."""

import pytest
import torch
from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput

from sas_core.dictionary.widen import take_over
from sas_core.errors import BadInput

D_IN, OLD, NEW = 16, 12, 40


def training_sae(d_sae: int, k: float = 3) -> BatchTopKTrainingSAE:
    torch.manual_seed(d_sae)
    cfg = BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=d_sae, k=k, device="cpu", apply_b_dec_to_input=True)
    return BatchTopKTrainingSAE(cfg)


@pytest.fixture
def finished(tmp_path):
    """An SAE whose latents write the first 12 directions and whose threshold is 0.5."""
    sae = training_sae(OLD)
    sae.W_dec.data = torch.eye(D_IN)[:OLD].clone()
    sae.W_enc.data = sae.W_dec.data.T.contiguous()
    sae.topk_threshold = torch.tensor(0.5, dtype=torch.double)
    sae.save_inference_model(tmp_path / "old")
    return tmp_path / "old"


def examples(rows: int = 400) -> torch.Tensor:
    """Mostly the old directions; the last four, which the old one cannot write, are large now and then."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, D_IN, generator=generator).abs()
    x[:, OLD:] *= 0.01
    for row in range(0, rows, 10):
        x[row, OLD + (row // 10) % 4] = 6.0
    return x


def test_the_old_latents_are_the_first_and_unchanged(finished):
    sae = training_sae(NEW)
    take_over(sae, finished, examples())
    torch.testing.assert_close(sae.W_dec[:OLD], torch.eye(D_IN)[:OLD])
    torch.testing.assert_close(sae.W_enc[:, :OLD], torch.eye(D_IN)[:, :OLD])
    torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(NEW))
    assert float(sae.topk_threshold) == pytest.approx(0.5)


def test_the_further_ones_point_where_the_old_one_fails(finished):
    sae = training_sae(NEW)
    take_over(sae, finished, examples())
    missed = sae.W_dec[OLD:, OLD:].norm(dim=-1)
    assert missed.median() > 0.95
    assert len({int(row.argmax()) for row in sae.W_dec[OLD:]} & {12, 13, 14, 15}) == 4
    torch.testing.assert_close(sae.W_enc[:, OLD:], sae.W_dec[OLD:].T)


def test_the_further_ones_fire_seldom_and_are_among_the_batchs_largest(finished):
    sae, x = training_sae(NEW, k=6), examples()
    take_over(sae, finished, x)
    acts = sae.training_forward_pass(TrainStepInput(x, {}, None, 0, False)).feature_acts
    further = (acts[:, OLD:] > 0).float().mean(dim=0)
    assert (further > 0).float().mean() > 0.8
    assert further.max() < 6 / NEW


def test_the_same_width_only_goes_on(finished):
    sae = training_sae(OLD)
    take_over(sae, finished, examples(1))
    torch.testing.assert_close(sae.W_dec.data, torch.eye(D_IN)[:OLD])


def test_a_narrower_one_and_a_missing_one_are_refused(finished, tmp_path):
    with pytest.raises(BadInput, match="choose a larger width"):
        take_over(training_sae(OLD - 1), finished, examples())
    with pytest.raises(BadInput, match="No SAE can be read"):
        take_over(training_sae(NEW), tmp_path / "none", examples())
