import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sas_core.errors import BadInput, Unavailable
from sas_core.model.dictionary import Dictionary, load_local, load_release, weights_sha256
from tests.helpers import D_MODEL, D_SAE, build_dictionary, build_sae

ARCHITECTURES = ("standard", "gated", "jumprelu", "topk")
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
every_sae = pytest.mark.parametrize("architecture", ARCHITECTURES)
every_normalisation = pytest.mark.parametrize("normalisation", NORMALISATIONS)
CHOSEN = torch.tensor([3, 0, 41, 17, 8])


def _residuals(n: int = 12) -> torch.Tensor:
    return torch.randn(n, D_MODEL) * torch.linspace(0.5, 4.0, n)[:, None] + 0.7


@every_sae
@every_normalisation
@pytest.mark.parametrize("apply_b_dec_to_input", [True, False])
def test_the_support_encodes_exactly_its_columns_of_the_full_encode(
    architecture: str, normalisation: str, apply_b_dec_to_input: bool
) -> None:
    dictionary = build_dictionary(
        architecture, normalize_activations=normalisation, apply_b_dec_to_input=apply_b_dec_to_input
    )
    x = _residuals()
    full = dictionary.sae.encode(x)[:, CHOSEN]

    torch.testing.assert_close(dictionary.support(CHOSEN).encode(x), full, atol=2e-6, rtol=1e-6)
    assert 0 < (full > 0).float().mean() < 1, "the comparison needs active and silent latents"


@every_sae
@every_normalisation
def test_what_the_support_writes_is_the_difference_of_two_decodings(
    architecture: str, normalisation: str
) -> None:
    dictionary = build_dictionary(architecture, normalize_activations=normalisation)
    sae, x, support = dictionary.sae, _residuals(), dictionary.support(CHOSEN)
    delta = torch.randn(len(x), len(CHOSEN))
    before = sae.encode(x)
    after = before.index_add(1, CHOSEN, delta)
    base = sae.decode(before)
    sae.encode(x)  # sae-lens forgets the norms of its input once they are used
    expected = sae.decode(after) - base

    support.encode(x)

    torch.testing.assert_close(support.write(delta), expected, atol=1e-5, rtol=1e-5)


def test_a_topk_sae_that_counts_in_units_of_decoder_norms_writes_unit_rows() -> None:
    dictionary = build_dictionary("topk", rescale_acts_by_decoder_norm=True)
    sae, x, support = dictionary.sae, _residuals(), dictionary.support(CHOSEN)
    f = sae.encode(x)
    delta = torch.randn(len(x), len(CHOSEN))

    support.encode(x)
    expected = sae.decode(f.index_add(1, CHOSEN, delta)) - sae.decode(f)

    torch.testing.assert_close(support.write(delta), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary.W_dec_rows(CHOSEN).norm(dim=-1), torch.ones(len(CHOSEN)))


def test_decoder_rows_are_those_of_the_sae() -> None:
    dictionary = build_dictionary("standard")

    assert torch.equal(dictionary.W_dec_rows(CHOSEN), dictionary.sae.W_dec[CHOSEN])


@pytest.mark.parametrize(("architecture", "expected"), [(a, a != "topk") for a in ARCHITECTURES])
def test_all_but_topk_need_only_their_support(architecture: str, expected: bool) -> None:
    assert build_dictionary(architecture).elementwise is expected


def test_topk_chooses_among_all_latents_not_among_the_support() -> None:
    dictionary = build_dictionary("topk", k=1)
    x = _residuals()
    winner = dictionary.sae.encode(x).argmax(dim=-1)
    losers = torch.tensor([i for i in range(D_SAE) if i not in set(winner.tolist())][:4])

    assert not dictionary.support(losers).encode(x).any()


@every_sae
def test_thresholds_are_known_for_jumprelu_alone(architecture: str) -> None:
    thresholds = build_dictionary(architecture).thresholds

    assert (thresholds is not None) == (architecture == "jumprelu")


def test_latents_are_computed_in_float32_whatever_comes_in() -> None:
    dictionary = build_dictionary("jumprelu")
    x = _residuals().bfloat16()

    found = dictionary.encode(x[None])

    assert found.dtype == torch.float32
    assert torch.equal(found[0], dictionary.sae.encode(x.float()))
    assert torch.equal(dictionary.support(CHOSEN).encode(x), dictionary.support(CHOSEN).encode(x.float()))


def test_an_sae_kept_in_half_precision_is_used_in_float32() -> None:
    dictionary = Dictionary(build_sae("jumprelu").to(torch.float16))

    assert {parameter.dtype for parameter in dictionary.sae.parameters()} == {torch.float32}


def test_the_heads_of_an_attention_sae_may_arrive_flattened() -> None:
    options = {"hook_name": "blocks.1.attn.hook_z", "reshape_activations": "hook_z"}
    plain = build_sae("standard", hook_name="blocks.1.attn.hook_z")
    dictionary = build_dictionary("standard", **options)
    x = _residuals()

    assert torch.equal(dictionary.encode(x), plain.encode(x))
    torch.testing.assert_close(dictionary.support(CHOSEN).encode(x), plain.encode(x)[:, CHOSEN])


@every_sae
def test_a_saved_sae_comes_back_with_its_identity(architecture: str, tmp_path: Path) -> None:
    sae = build_sae(
        architecture, hook_name="blocks.0.hook_mlp_out",
        metadata={"prepend_bos": True, "model_name": "tiny", "neuronpedia_id": "tiny/0",
                  "model_from_pretrained_kwargs": {"center_writing_weights": True}},
    )  # fmt: skip
    sae.save_model(tmp_path)
    x = _residuals()

    loaded = load_local(tmp_path, "cpu")

    identity = loaded.identity
    assert (identity.release, identity.sae_id, identity.path) == (None, None, str(tmp_path))
    assert (identity.hook_name, identity.architecture) == ("blocks.0.hook_mlp_out", architecture)
    assert (identity.d_in, identity.d_sae, identity.neuronpedia_id) == (D_MODEL, D_SAE, "tiny/0")
    assert (loaded.prepend_bos, loaded.model_name) == (True, "tiny")
    assert loaded.model_kwargs == {"center_writing_weights": True}
    assert torch.equal(loaded.encode(x), sae.encode(x))


def test_the_hash_is_of_the_values_not_of_the_way_they_are_stored(tmp_path: Path) -> None:
    sae = build_sae("jumprelu")
    for parameter in sae.parameters():
        parameter.data = parameter.data.half().float()  # values that float16 holds exactly
    sae.save_model(tmp_path / "wide")
    expected = Dictionary(sae).identity.sha256
    sae.half().save_model(tmp_path / "narrow")

    assert weights_sha256(sae) == expected
    assert load_local(tmp_path / "wide", "cpu").identity.sha256 == expected
    assert load_local(tmp_path / "narrow", "cpu").identity.sha256 == expected


def test_one_changed_weight_changes_the_hash() -> None:
    sae = build_sae("jumprelu")
    before = Dictionary(sae).identity.sha256
    sae.W_dec.data[0, 0] += 1e-3

    assert Dictionary(sae).identity.sha256 != before
    assert len(before) == 64


def _broken(folder: Path, change: dict[str, Any] | str | None = None, weights: bytes | None = None) -> Path:
    build_sae("jumprelu").save_model(folder)
    config = folder / "cfg.json"
    if isinstance(change, str):
        config.write_text(change)
    elif change is not None:
        config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    if weights is not None:
        (folder / "sae_weights.safetensors").write_bytes(weights)
    return folder


def test_a_folder_that_is_no_sae_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"not an SAE folder: it has no cfg\.json"):
        load_local(tmp_path, "cpu")
    with pytest.raises(BadInput, match="not an SAE folder"):
        load_local(tmp_path / "absent", "cpu")


@pytest.mark.parametrize(
    ("change", "weights"),
    [("not json", None), ("{}", None), ("[]", None), ({"architecture": "novel"}, None), ({"d_in": 31}, None),
     ({"normalize_activations": "odd"}, None), (None, b"torn")],
    ids=["not json", "empty", "a list", "architecture", "width", "normalisation", "torn weights"],
)  # fmt: skip
def test_a_broken_sae_folder_is_refused_in_one_sentence(
    change: dict[str, Any] | str | None, weights: bytes | None, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"The SAE in .* cannot be read: .") as caught:
        load_local(_broken(tmp_path, change, weights), "cpu")

    assert "\n" not in str(caught.value)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = _broken(tmp_path)
    (folder / "sae_weights.safetensors").unlink()

    with pytest.raises(BadInput, match="cannot be read"):
        load_local(folder, "cpu")


def test_an_sae_that_names_no_hook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not say which hook point"):
        load_local(_broken(tmp_path, {"metadata": {}}), "cpu")


def test_a_transcoder_is_refused_because_it_writes_elsewhere(tmp_path: Path) -> None:
    metadata = {"hook_name": "blocks.0.ln2.hook_normalized", "hook_name_out": "blocks.0.hook_mlp_out"}
    transcoder = build_sae(
        "transcoder", metadata=metadata, apply_b_dec_to_input=False, d_out=D_MODEL,
    )  # fmt: skip

    with pytest.raises(BadInput, match=r"transcoder.*not defined"):
        Dictionary(transcoder)


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(BadInput, match="Release no-such-release not found"):
        load_release("no-such-release", "x", "cpu")


def test_an_unknown_sae_id_is_refused_with_valid_ones() -> None:
    with pytest.raises(BadInput, match=r"ID layer_99 not found.*Valid IDs are \['blocks\.0\.hook_resid_pre'"):
        load_release("gpt2-small-res-jb", "layer_99", "cpu")


def test_a_registry_sae_out_of_reach_is_unavailable_and_the_demo_is_named() -> None:
    with pytest.raises(Unavailable, match=r"gpt2-small-res-jb / blocks\.8\.hook_resid_pre.*demo preset"):
        load_release("gpt2-small-res-jb", "blocks.8.hook_resid_pre", "cpu")


def test_an_sae_whose_normalisation_was_never_folded_in_is_refused() -> None:
    sae = build_sae("jumprelu")
    sae.cfg.normalize_activations = "expected_average_only_in"
    with pytest.raises(BadInput, match="do not carry the statistics"):
        Dictionary(sae)
