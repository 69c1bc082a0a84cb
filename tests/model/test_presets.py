from pathlib import Path

import pytest
import torch

from sas_core.errors import BadInput, Mismatch, Unavailable
from sas_core.model.presets import PRESETS, custom_preset, get_preset, load_engine
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Lane, Sampling
from tests.helpers import build_sae


def test_the_presets_are_those_promised() -> None:
    assert list(PRESETS) == ["demo", "gpt2-small", "gemma-2-2b", "gemma-2-2b-it", "gemma-2-9b-it"]
    for name, preset in PRESETS.items():
        assert get_preset(name) is preset and preset.name == name
        assert preset.note and "layer" in preset.title


def test_the_chat_preset_of_the_paper_uses_the_base_models_dictionary() -> None:
    base, chat = get_preset("gemma-2-2b"), get_preset("gemma-2-2b-it")

    assert (chat.release, chat.sae_id) == (base.release, base.sae_id)
    assert chat.model != base.model


def test_every_hub_preset_names_an_sae_of_the_registry() -> None:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    registry = get_pretrained_saes_directory()
    for preset in PRESETS.values():
        if preset.release:
            assert preset.sae_id in registry[preset.release].saes_map, preset.name


def test_every_hub_preset_names_a_model_that_transformer_lens_knows() -> None:
    from transformer_lens.loading_from_pretrained import get_official_model_name

    for preset in PRESETS.values():
        if preset.release:
            assert get_official_model_name(preset.model)


def test_an_unknown_preset_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput, match="'gpt5'; choose one of demo, gpt2-small, gemma-2-2b,"):
        get_preset("gpt5")


@pytest.mark.parametrize(
    "given", [{}, {"release": "gpt2-small-res-jb"}, {"sae_id": "blocks.8.hook_resid_pre"}]
)
def test_a_custom_preset_without_a_whole_sae_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="Name the SAE: a release with an SAE id"):
        custom_preset("gpt2", **given)


@pytest.mark.parametrize("name", ["gpt2-small", "gemma-2-2b-it"])
def test_a_hub_preset_out_of_reach_says_what_is_missing_how_big_and_that_the_demo_works(name: str) -> None:
    preset = get_preset(name)

    with pytest.raises(Unavailable) as caught:
        load_engine(preset, device="cpu")

    message = str(caught.value)
    assert f"{preset.release} / {preset.sae_id} is not on this machine" in message
    assert f"{preset.model} and its SAE once, about {preset.download_gb:g} GB" in message
    assert "demo preset, which needs no hub" in message


def test_a_hub_model_out_of_reach_is_named_with_its_size_when_the_sae_is_local(sae_folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"weights of gemma-2-2b-it.*demo preset works.*about 6\.4 GB"):
        load_engine(get_preset("gemma-2-2b-it"), device="cpu", sae_path=str(sae_folder))


def test_a_registry_sae_of_ones_own_choice_out_of_reach_is_unavailable() -> None:
    preset = custom_preset("gpt2", release="gpt2-small-resid-post-v5-32k", sae_id="blocks.5.hook_resid_post")

    with pytest.raises(Unavailable, match=r"gpt2-small-resid-post-v5-32k / .*did not answer"):
        load_engine(preset, device="cpu")


def test_local_folders_make_a_working_engine(llama_folder: Path, sae_folder: Path) -> None:
    engine = load_engine(custom_preset(str(llama_folder), sae_path=str(sae_folder)), device="cpu")

    done = engine.run(Request("Hello", (Lane("unsteered"),), Sampling(max_new_tokens=2)))

    assert 1 <= len(done.lanes[0].token_ids) <= 2
    assert engine.placement.dtype == "float32"
    assert engine.hook_name == "blocks.1.hook_resid_post"
    assert engine.name == str(llama_folder)


def test_another_sae_may_replace_a_presets_own(llama_folder: Path, sae_folder: Path, tmp_path: Path) -> None:
    build_sae("standard", hook_name="blocks.0.hook_mlp_out").save_model(tmp_path)
    preset = custom_preset(str(llama_folder), sae_path=str(sae_folder))

    engine = load_engine(preset, device="cpu", dtype="bfloat16", sae_path=str(tmp_path))

    assert (engine.hook_name, engine.dictionary.identity.path) == ("blocks.0.hook_mlp_out", str(tmp_path))
    assert engine.model.W_U.dtype == torch.bfloat16
    assert engine.dictionary.sae.W_dec.dtype == torch.float32


def test_the_processing_the_sae_was_trained_with_is_applied(gpt2_folder: Path, tmp_path: Path) -> None:
    metadata = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    build_sae("standard", metadata=metadata).save_model(tmp_path)

    engine = load_engine(custom_preset(str(gpt2_folder), sae_path=str(tmp_path)), device="cpu")

    assert engine.model.W_E.mean(dim=-1).abs().max() < 1e-6


def test_a_folder_that_is_no_sae_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not an SAE folder"):
        load_engine(custom_preset("no-such-model", sae_path=str(tmp_path)), device="cpu")


def test_an_sae_of_another_width_is_refused_with_both_numbers(llama_folder: Path, tmp_path: Path) -> None:
    build_sae("standard", d_in=24).save_model(tmp_path)

    with pytest.raises(BadInput, match=r"reads 24 numbers at blocks\.1\.hook_resid_post, this model has 32"):
        load_engine(custom_preset(str(llama_folder), sae_path=str(tmp_path)), device="cpu")


def test_an_sae_for_a_hook_the_model_lacks_is_refused_with_near_matches(
    llama_folder: Path, tmp_path: Path
) -> None:
    build_sae("standard", hook_name="blocks.20.hook_resid_post").save_model(tmp_path)

    with pytest.raises(BadInput, match=r"'blocks\.20\.hook_resid_post'.*Near matches: blocks"):
        load_engine(custom_preset(str(llama_folder), sae_path=str(tmp_path)), device="cpu")


def test_the_demo_refuses_an_sae_trained_on_another_model_before_loading_its_own(tmp_path: Path) -> None:
    build_sae("standard", metadata={"model_name": "gpt2"}).save_model(tmp_path)

    with pytest.raises(Mismatch, match="trained on gpt2, not on SmolLM2-135M-Instruct"):
        load_engine(get_preset("demo"), device="cpu", sae_path=str(tmp_path))


def test_an_unknown_device_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BadInput, match="Unknown device"):
        load_engine(custom_preset("no-such-model", sae_path="nowhere"), device="abacus")
