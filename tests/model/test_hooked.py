import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sas_core.errors import BadInput, HookNeverRan, Unavailable
from sas_core.model.hooked import _quiet, activations_at, layer_of, load_hooked, require_hook
from tests.helpers import N_CTX, hooks_on, random_gpt2, random_llama

TOKENS = torch.tensor([[5, 17, 300, 42, 8, 5, 99], [7, 7, 130, 2, 250, 61, 0]])
HOOKS = ("blocks.1.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.1.hook_mlp_out")


@pytest.mark.parametrize(("fixture", "build"), [("llama", random_llama), ("gpt2", random_gpt2)])
def test_a_local_folder_gives_the_logits_of_transformers(
    fixture: str, build: Any, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(fixture)
    with torch.no_grad():
        expected = build()(TOKENS).logits

    ours = model(TOKENS, attention_mask=torch.ones_like(TOKENS))

    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-4)


def test_a_loaded_model_evaluates_without_gradients_in_the_decoding_layout(llama: Any) -> None:
    assert not llama.training
    assert not any(parameter.requires_grad for parameter in llama.parameters())
    assert llama.W_U.T.is_contiguous()
    assert llama.cfg.n_ctx == N_CTX and llama.cfg.n_key_value_heads == 1


def test_the_dtype_asked_for_is_the_models(llama_folder: Path) -> None:
    model = load_hooked(str(llama_folder), device="cpu", dtype=torch.bfloat16)

    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_the_saes_processing_is_applied_to_the_weights(gpt2: Any, gpt2_folder: Path) -> None:
    centred = load_hooked(
        str(gpt2_folder), device="cpu", dtype=torch.float32, processing={"center_writing_weights": True}
    )

    assert gpt2.W_E.mean(dim=-1).abs().max() > 1e-3
    assert centred.W_E.mean(dim=-1).abs().max() < 1e-6
    torch.testing.assert_close(centred(TOKENS), gpt2(TOKENS), atol=2e-4, rtol=1e-4)


def test_the_architecture_is_read_from_the_config_not_guessed_from_the_path(
    gpt2: Any, gpt2_folder: Path, tmp_path: Path
) -> None:
    misleading = tmp_path / "llama-3-gemma" / "weights"
    shutil.copytree(gpt2_folder, misleading)

    model = load_hooked(str(misleading), device="cpu", dtype=torch.float32)

    assert torch.equal(model(TOKENS), gpt2(TOKENS))
    assert model.cfg.model_name == "weights"


def test_loading_keeps_stdout_for_our_own_output(capsys: pytest.CaptureFixture[str]) -> None:
    with _quiet():
        print("Loaded pretrained model gpt2 into HookedTransformer")  # as transformer-lens does

    printed = capsys.readouterr()
    assert printed.out == "" and "Loaded pretrained" in printed.err


def test_a_folder_without_weights_is_refused_as_such(gpt2_folder: Path, tmp_path: Path) -> None:
    shutil.copy(gpt2_folder / "config.json", tmp_path)

    with pytest.raises(BadInput, match=r"no whole model.*config\.json, weights and tokenizer"):
        load_hooked(str(tmp_path), device="cpu", dtype=torch.float32)


def test_a_config_that_transformer_lens_cannot_read_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(gpt2_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["n_ctx"]  # recent transformers leaves it out, transformer-lens asks for it
    (folder / "config.json").write_text(json.dumps(config))

    with pytest.raises(BadInput, match="n_ctx"):
        load_hooked(str(folder), device="cpu", dtype=torch.float32)


def test_an_unknown_model_name_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot load no-such-model: no-such-model not found"):
        load_hooked("no-such-model", device="cpu", dtype=torch.float32)


def test_a_known_model_out_of_reach_is_unavailable_and_the_demo_is_named() -> None:
    with pytest.raises(Unavailable, match=r"gpt2 are not on this machine.*demo preset works without a hub"):
        load_hooked("gpt2", device="cpu", dtype=torch.float32)


@pytest.mark.parametrize("hook_name", HOOKS)
def test_activations_are_what_the_full_run_holds_there(llama: Any, hook_name: str) -> None:
    _, cache = llama.run_with_cache(TOKENS, attention_mask=torch.ones_like(TOKENS))

    assert torch.equal(activations_at(llama, hook_name, TOKENS), cache[hook_name])


def test_the_heads_of_an_attention_hook_are_flattened(llama: Any) -> None:
    _, cache = llama.run_with_cache(TOKENS, attention_mask=torch.ones_like(TOKENS))

    found = activations_at(llama, "blocks.1.attn.hook_z", TOKENS)

    assert torch.equal(found, cache["blocks.1.attn.hook_z"].reshape(2, 7, -1))


def test_layers_above_the_hook_are_not_run(llama: Any) -> None:
    ran: list[int] = []
    watch = [(f"blocks.{i}.hook_resid_pre", lambda value, hook: ran.append(hook.layer())) for i in range(3)]

    with llama.hooks(fwd_hooks=watch):
        activations_at(llama, "blocks.1.hook_resid_post", TOKENS)

    assert ran == [0, 1]


def test_padding_on_the_right_does_not_reach_what_stands_before_it(llama: Any) -> None:
    padded = torch.cat([TOKENS[:1], torch.zeros(1, 4, dtype=torch.long)], dim=1)

    whole = activations_at(llama, HOOKS[1], padded)

    torch.testing.assert_close(
        whole[:, :7], activations_at(llama, HOOKS[1], TOKENS[:1]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_pad_token_is_attended_to_like_any_other(llama: Any, side: str, monkeypatch: Any) -> None:
    # in ChatML models the pad token is the one that ends a turn, and may stand anywhere
    pad = llama.tokenizer.pad_token_id
    tokens = torch.tensor([[pad, 5, 9, pad, 8]])
    expected = llama.run_with_cache(tokens, attention_mask=torch.ones_like(tokens))[1][HOOKS[1]]
    monkeypatch.setattr(llama.tokenizer, "padding_side", side)

    assert torch.equal(activations_at(llama, HOOKS[1], tokens), expected)


def test_reading_activations_leaves_no_hook_behind_even_when_it_fails(llama: Any) -> None:
    activations_at(llama, HOOKS[0], TOKENS)
    with pytest.raises(IndexError):
        activations_at(llama, HOOKS[0], torch.tensor([[10_000]]))

    assert hooks_on(llama) == []


def test_an_unknown_hook_name_is_refused_with_near_matches(llama: Any) -> None:
    with pytest.raises(
        BadInput, match=r"'blocks\.1\.hook_resid_psot'.*Near matches: blocks\.\d\.hook_resid_post"
    ):
        require_hook(llama, "blocks.1.hook_resid_psot")
    with pytest.raises(BadInput, match=r"'blocks\.3\.hook_resid_post'.*Near matches"):
        activations_at(llama, "blocks.3.hook_resid_post", TOKENS)  # the model has three blocks


def test_a_name_near_to_nothing_is_refused_without_a_guess(llama: Any) -> None:
    with pytest.raises(BadInput, match=r"no hook point named 'zzz'\.$"):
        require_hook(llama, "zzz")


def test_a_hook_point_the_model_has_but_never_runs_is_an_error(llama: Any) -> None:
    assert "blocks.1.hook_mlp_in" in llama.hook_dict

    with pytest.raises(HookNeverRan, match="never runs it"):
        activations_at(llama, "blocks.1.hook_mlp_in", TOKENS)


def test_the_layer_is_read_from_the_hook_name() -> None:
    assert layer_of("blocks.12.hook_resid_post") == 12
    assert layer_of("blocks.0.attn.hook_z") == 0
    assert layer_of("hook_embed") is None
