"""The program with the SAE in the loop, against the plain path: encode all, edit, decode, add the error.

And both programs run as a person would run them, file and folders beside them.
"""

import json
import runpy
from types import SimpleNamespace

import pytest
import torch
from sae_lens import JumpReLUSAE, JumpReLUSAEConfig, StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from sas_core.model.hooked import activations_at, load_hooked
from sas_core.vectors.schema import dump_vector
from sas_core.vectors.snippet import snippet

WIDTH, D_SAE, NEW = 32, 48, 8
SUPPORT, VALUES = [40, 3, 17, 22], [6.0, -2.0, 3.0, -4.0]
WORDS = ["<pad>", "<bos>", "<eos>", "user", "assistant", ":", "tell", "me", "about", "your", "day", "."]
CHAT = (
    "{{ '<bos>' }}{% for m in messages %}{{ m['role'] + ' : ' + m['content'] + ' <eos> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant : ' }}{% endif %}"
)
LLAMA = LlamaConfig(
    vocab_size=64, hidden_size=WIDTH, num_hidden_layers=2, intermediate_size=48, num_attention_heads=4,
    num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
GPT2 = GPT2Config(
    vocab_size=64, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=64, n_ctx=64, bos_token_id=1, eos_token_id=2
)


def save_model(config, folder, chat: bool = True):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.mul_(6)
    vocabulary = {word: i for i, word in enumerate(WORDS)} | {f"w{i}": i for i in range(len(WORDS), 64)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="."))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        chat_template=CHAT if chat else None,
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def save_sae(folder, kind: str, normalize: str = "none"):
    torch.manual_seed(2)
    shared = {"d_in": WIDTH, "d_sae": D_SAE, "normalize_activations": normalize}
    sae = {
        "jumprelu": lambda: JumpReLUSAE(JumpReLUSAEConfig(**shared)),
        "standard": lambda: StandardSAE(StandardSAEConfig(**shared)),
        "topk": lambda: TopKSAE(TopKSAEConfig(k=8, **shared)),
    }[kind]()
    for parameter in sae.parameters():
        parameter.data = 0.5 * torch.randn_like(parameter)
    if kind == "jumprelu":
        sae.threshold.data.abs_()
    sae.cfg.metadata.hook_name = "blocks.0.hook_resid_post"
    sae.save_model(folder)
    return sae


def sae_vector(make_vector, sae, folder, **changes):
    part = {
        "path": str(folder), "hook_name": "blocks.0.hook_resid_post", "d_in": WIDTH, "d_sae": D_SAE,
        "sha256": "a" * 64, "architecture": "any", "normalize_activations": sae.cfg.normalize_activations,
    }  # fmt: skip
    features = [{"index": i, "value": v} for i, v in zip(SUPPORT, VALUES, strict=True)]
    dense = (torch.tensor(VALUES) @ sae.W_dec.detach()[SUPPORT]).tolist()
    options = {"sae": part, "method": "latents", "features": features, "dense": dense, "verify": None}
    return make_vector(**{**options, **changes})


def program(vector) -> SimpleNamespace:
    scope: dict = {"__name__": "program"}
    exec(compile(snippet(vector, filename="v.json", exact=True), "program.py", "exec"), scope)
    return SimpleNamespace(**scope)


def slow_edit(sae, hidden, scale, nonlinearity):
    """sas.md to the letter: decode the edited latents, add the reconstruction error, take the difference."""
    with torch.no_grad():
        error = hidden - sae.decode(sae.encode(hidden))
        latents = sae.encode(hidden)
        moved = latents.clone()
        for index, value in zip(SUPPORT, VALUES, strict=True):
            z = latents[..., index] + scale * value
            if nonlinearity == "relu":
                z = torch.clamp(z, min=0)
            if nonlinearity == "jumprelu":
                z = torch.where(z > sae.threshold[index], torch.clamp(z, min=0), 0.0)
            moved[..., index] = z
        return sae.decode(moved) + error - hidden


@pytest.fixture
def model(tmp_path):
    return save_model(LLAMA, tmp_path / "model")[0]


@pytest.mark.parametrize(
    ("kind", "normalize", "nonlinearity"),
    [
        ("jumprelu", "none", "relu"),
        ("jumprelu", "none", "jumprelu"),
        ("jumprelu", "none", "none"),
        ("standard", "none", "relu"),
        ("standard", "layer_norm", "relu"),
        ("standard", "constant_norm_rescale", "relu"),
        ("topk", "none", "relu"),
    ],
)
@pytest.mark.parametrize("scale", [1.0, -0.7])
def test_the_exact_edit_is_the_whole_encode_edit_decode_path(
    model, tmp_path, make_vector, kind, normalize, nonlinearity, scale
):
    sae = save_sae(tmp_path / "sae", kind, normalize)
    vector = sae_vector(make_vector, sae, tmp_path / "sae", nonlinearity=nonlinearity)
    edit = program(vector).exact_edit(vector.model_dump(), scale, model)
    hidden = 3 * torch.randn(2, 5, WIDTH)
    with torch.inference_mode():
        found = edit(hidden)
    torch.testing.assert_close(found, slow_edit(sae, hidden, scale, nonlinearity), rtol=1e-4, atol=1e-4)
    assert found.norm(dim=-1).median() > 0.1


def test_scale_zero_changes_nothing_at_all(model, tmp_path, make_vector):
    sae = save_sae(tmp_path / "sae", "jumprelu")
    vector = sae_vector(make_vector, sae, tmp_path / "sae")
    edit = program(vector).exact_edit(vector.model_dump(), 0.0, model)
    with torch.inference_mode():
        assert edit(3 * torch.randn(2, 5, WIDTH)).eq(0).all()


def test_another_sae_than_the_vectors_is_refused(model, tmp_path, make_vector):
    sae = save_sae(tmp_path / "sae", "jumprelu")
    vector = sae_vector(make_vector, sae, tmp_path / "sae", dense=[1.0] * WIDTH)
    with pytest.raises(ValueError, match="not the SAE of the vector"):
        program(vector).exact_edit(vector.model_dump(), 1.0, model)


@pytest.mark.parametrize(
    "hook", ["blocks.1.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_mlp_out"]
)
@pytest.mark.parametrize(("config", "processing"), [(LLAMA, {}), (GPT2, {"center_writing_weights": True})])
def test_the_sae_is_given_what_transformer_lens_holds_at_the_hook(
    tmp_path, make_vector, hook, config, processing
):
    model, _ = save_model(config, tmp_path / "model")
    hooked = load_hooked(str(tmp_path / "model"), device="cpu", dtype=torch.float32, processing=processing)
    sae = save_sae(tmp_path / "sae", "standard")
    part = {**make_vector().model.model_dump(), "processing": processing}
    vector = sae_vector(make_vector, sae, tmp_path / "sae", model=part)
    code, ids = program(vector), torch.tensor([[1, 6, 7, 8, 9, 10]])
    edit, seen = code.exact_edit(vector.model_dump(), 1.0, model), []

    def keep(hidden):
        seen.append(edit(hidden))
        return seen[-1]

    with torch.inference_mode(), code.Steering(model, hook, keep, 0):
        model(ids)
    expected = slow_edit(sae, activations_at(hooked, hook, ids), 1.0, "relu")
    torch.testing.assert_close(seen[0], expected, rtol=1e-3, atol=1e-3)
    assert seen[0].std() > 0.01


def greedy(model, ids, change, first, steps):
    """No hook, no cache: layer 0's forward is replaced and everything recomputed for each token."""
    layer = model.model.layers[0]
    plain = type(layer).forward

    def forward(*args, **kwargs):
        hidden = plain(layer, *args, **kwargs).clone()
        hidden[:, first:] += change(hidden[:, first:])
        return hidden

    layer.forward = forward
    for _ in range(steps):
        chosen = model(ids, use_cache=False).logits[:, -1:].argmax(dim=-1)
        ids = torch.cat([ids, chosen], dim=1)
        if chosen.item() == 2:
            break
    del layer.forward
    return ids


RULES = {"generated": -1, "after-instruction": -2, "all": 1}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_the_whole_program_prints_both_answers(tmp_path, make_vector, monkeypatch, capsys, exact, rule):
    model, tokenizer = save_model(LLAMA, tmp_path / "model")
    sae = save_sae(tmp_path / "sae", "jumprelu")
    part = {**make_vector().model.model_dump(), "name": "model"}
    vector = sae_vector(make_vector, sae, "sae", model=part, steered_tokens=rule, strength=1.5)
    (tmp_path / "the sea.json").write_text(dump_vector(vector), encoding="utf-8")
    source = snippet(vector, filename="the sea.json", exact=exact)
    (tmp_path / "steer.py").write_text(source.replace("MAX_NEW_TOKENS = 40", f"MAX_NEW_TOKENS = {NEW}"))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("steer.py", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()

    text = "<bos>user : Tell me about your day. <eos> assistant : "
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    first = RULES[rule] % ids.shape[1]
    push = 1.5 * torch.tensor(vector.dense)
    change = (lambda hidden: slow_edit(sae, hidden, 1.5, "relu")) if exact else (lambda hidden: push)
    with torch.inference_mode():
        answers = [
            greedy(model, ids, lambda hidden: 0 * hidden, first, NEW),
            greedy(model, ids, change, first, NEW),
        ]
    plain, steered = (tokenizer.decode(a[0, ids.shape[1] :], skip_special_tokens=True) for a in answers)
    assert lines[0] == f"unsteered: {plain}" and lines[1] == f"steered:   {steered}"
    passes = answers[1].shape[1] - ids.shape[1]
    count = ids.shape[1] - first + passes - 1
    assert lines[2] == f"{count} positions steered in {passes} passes at scale 1.5"
    assert plain != steered


def test_a_model_without_a_template_completes_raw_text_with_the_recorded_first_token(tmp_path, make_vector):
    _, tokenizer = save_model(GPT2, tmp_path / "model", chat=False)
    sae = save_sae(tmp_path / "sae", "standard")
    vector = sae_vector(make_vector, sae, tmp_path / "sae", verify=make_vector().verify)
    encode = program(vector).encode
    data = json.loads(dump_vector(vector))
    with_bos, first = encode(tokenizer, "tell me", data)
    assert with_bos.tolist() == [[1, 6, 7]] and first == 2
    without, first = encode(tokenizer, "tell me", {**data, "verify": None, "steered_tokens": "all"})
    assert without.tolist() == [[6, 7]] and first == 1
