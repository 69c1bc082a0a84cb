"""The program that is written for people without Steerscope: run here, on tiny random models."""

import copy
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
)

from sas_core.errors import BadInput
from sas_core.vectors.snippet import snippet

VOCAB, WIDTH, NEW = 64, 32, 8
# untied, because a random model with tied embeddings repeats its last token whatever is done to it
NO_STOP = {"bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0, "tie_word_embeddings": False}
SIZES = {"vocab_size": VOCAB, "hidden_size": WIDTH, "num_hidden_layers": 2, "intermediate_size": 48}
LLAMA = LlamaConfig(**SIZES, num_attention_heads=4, num_key_value_heads=2, **NO_STOP)
GPT2 = GPT2Config(vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=64, **NO_STOP)
NEOX = GPTNeoXConfig(**SIZES, num_attention_heads=4, **NO_STOP)
# the window is shorter than the prompt, so cached positions and absolute ones differ in every layer
GEMMA2 = Gemma2Config(
    **SIZES, num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=4, **NO_STOP
)
FAMILIES = {"llama": LLAMA, "gpt2": GPT2, "neox": NEOX, "gemma2": GEMMA2}
LAYERS = {
    "llama": lambda m: m.model.layers,
    "gpt2": lambda m: m.transformer.h,
    "neox": lambda m: m.gpt_neox.layers,
    "gemma2": lambda m: m.model.layers,
}
IDS = torch.tensor([[1, 9, 17, 25, 33, 41, 49]])
SITES = ["hook_resid_pre", "hook_resid_post", "hook_mlp_out"]


def tiny(config, seed: int = 0):
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    # freshly made weights are so small that steering could not change a token
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            parameter.mul_(8 if "embed" in name or "wte" in name else 4)
    return model


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param, tiny(copy.deepcopy(FAMILIES[request.param]))


def program(vector, **options) -> SimpleNamespace:
    """The program's functions, its `main` not run."""
    scope: dict = {"__name__": "program"}
    exec(compile(snippet(vector, filename="v.json", **options), "program.py", "exec"), scope)
    scope["MAX_NEW_TOKENS"] = NEW
    return SimpleNamespace(**scope, scope=scope)


def wide_vector(make_vector, seed: int = 1, **changes):
    """A vector for the tiny models: 32 wide, pushing hard enough to change what they say."""
    torch.manual_seed(seed)
    vector = make_vector()
    sae = vector.sae.model_copy(update={"d_in": WIDTH, **changes.pop("sae", {})})
    dense = changes.pop("dense", (6 * torch.randn(WIDTH)).tolist())
    return make_vector(**{"sae": sae, "dense": dense, "verify": None, **changes})


def edited_copy(model, kind, hook_name, change, first):
    """The oracle: no hooks and no cache; one forward method of a copy replaced."""
    model = copy.deepcopy(model)
    _, number, site = hook_name.split(".")
    layer = LAYERS[kind](model)[int(number)]
    if site == "hook_mlp_out":
        layer = layer.post_feedforward_layernorm if kind == "gemma2" else layer.mlp
    plain = layer.forward

    def edit(hidden):
        hidden = hidden.clone()
        hidden[:, first:] += change(hidden[:, first:])
        return hidden

    def forward(hidden, *args, **kwargs):
        if site == "hook_resid_pre":
            return plain(edit(hidden), *args, **kwargs)
        return edit(plain(hidden, *args, **kwargs))

    layer.forward = forward
    return model


def oracle(model, kind, hook_name, change, first, ids=IDS):
    edited, steps = edited_copy(model, kind, hook_name, change, first), []
    for _ in range(NEW):
        steps.append(edited(ids, use_cache=False).logits[:, -1])
        ids = torch.cat([ids, steps[-1].argmax(dim=-1, keepdim=True)], dim=1)
    return ids[:, -NEW:], torch.stack(steps)


def logits_of_each_step(model):
    """Of cached greedy generation: [step, row, vocabulary]."""
    options = {"output_logits": True, "return_dict_in_generate": True}
    with torch.inference_mode():
        out = model.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=NEW,
                             do_sample=False, **options)  # fmt: skip
    return torch.stack(out.logits)


def steered(code, model, vector, scale, first, ids=IDS, edit=None):
    edit = edit or code.dense_edit(vector, scale, model)
    with torch.inference_mode(), code.Steering(model, vector["sae"]["hook_name"], edit, first) as steering:
        return code.generate(model, ids), steering


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_cached_steered_generation_equals_plain_recomputation(family, make_vector, site, scale):
    kind, model = family
    vector = wide_vector(make_vector, sae={"hook_name": f"blocks.1.{site}"})
    code, last = program(vector), IDS.shape[1] - 1
    found, steering = steered(code, model, vector.model_dump(), scale, last)
    with steering:
        logits = logits_of_each_step(model)
    push = scale * torch.tensor(vector.dense)
    tokens, expected = oracle(model, kind, vector.sae.hook_name, lambda hidden: push, last)
    assert found.tolist() == tokens.tolist()
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert (steering.calls, steering.steered_tokens) == (2 * NEW, 2 * NEW)
    assert (logits - logits_of_each_step(model)).abs().amax(dim=-1).min() > 0.1


def logits_with(code, model, vector, hook_name, first):
    with code.Steering(model, hook_name, code.dense_edit(vector, 1.0, model), first):
        return model(IDS).logits


def test_a_push_on_what_the_mlp_adds_is_the_same_push_on_the_residual_after_it(family, make_vector):
    _, model = family
    vector = wide_vector(make_vector)
    code, values = program(vector), vector.model_dump()
    after_mlp = logits_with(code, model, values, "blocks.0.hook_mlp_out", 2)
    after_layer = logits_with(code, model, values, "blocks.0.hook_resid_post", 2)
    before_next = logits_with(code, model, values, "blocks.1.hook_resid_pre", 2)
    torch.testing.assert_close(after_mlp, after_layer, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(before_next, after_layer, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after_layer, model(IDS).logits, atol=1e-2)


def test_positions_before_the_first_steered_one_are_bit_identical(family, make_vector):
    _, model = family
    vector = wide_vector(make_vector)
    logits = logits_with(program(vector), model, vector.model_dump(), "blocks.1.hook_resid_post", 3)
    plain = model(IDS).logits
    assert torch.equal(logits[:, :3], plain[:, :3])
    assert (logits[:, 3:] != plain[:, 3:]).any(dim=-1).all()


def test_scale_zero_and_a_closed_context_leave_the_model_bit_identical(family, make_vector):
    _, model = family
    vector = wide_vector(make_vector)
    code, plain = program(vector), model(IDS).logits
    with code.Steering(model, "blocks.1.hook_resid_pre", code.dense_edit(vector.model_dump(), 0.0, model), 0):
        assert torch.equal(model(IDS).logits, plain)
    with code.Steering(model, "blocks.1.hook_resid_pre", code.dense_edit(vector.model_dump(), 1.0, model), 0):
        assert not torch.equal(model(IDS).logits, plain)
    assert torch.equal(model(IDS).logits, plain)


def test_every_row_of_a_batch_is_steered_like_a_batch_of_one(family, make_vector):
    _, model = family
    vector = wide_vector(make_vector)
    code = program(vector)
    batch = torch.cat([IDS, IDS.flip(1), (IDS + 7) % VOCAB])
    together, steering = steered(code, model, vector.model_dump(), 1.0, 6, ids=batch)
    alone = [steered(code, model, vector.model_dump(), 1.0, 6, ids=row[None])[0] for row in batch]
    assert together.tolist() == torch.cat(alone).tolist()
    assert steering.steered_tokens == 3 * NEW


def test_generation_without_a_cache_is_steered_at_the_same_positions(make_vector):
    model, vector = tiny(LLAMA), wide_vector(make_vector)
    code = program(vector)
    cached, _ = steered(code, model, vector.model_dump(), 1.0, 6)
    model.generation_config.use_cache = False
    uncached, steering = steered(code, model, vector.model_dump(), 1.0, 6)
    assert cached.tolist() == uncached.tolist()
    assert steering.steered_tokens == sum(range(1, NEW + 1))


def test_a_second_prompt_in_the_same_context_starts_from_its_own_beginning(make_vector):
    model, vector = tiny(LLAMA), wide_vector(make_vector)
    code, values = program(vector), vector.model_dump()
    other = IDS.flip(1)
    with code.Steering(model, "blocks.1.hook_resid_post", code.dense_edit(values, 1.0, model), 6):
        both = [code.generate(model, IDS).tolist(), code.generate(model, other).tolist()]
    expected = [steered(code, model, values, 1.0, 6, ids=ids)[0].tolist() for ids in (IDS, other)]
    assert both == expected


def test_a_layer_that_returns_a_tuple_keeps_the_rest_of_it(make_vector):
    model, vector = tiny(LLAMA), wide_vector(make_vector)
    code = program(vector)
    steering = code.Steering(model, "blocks.0.hook_resid_post", lambda hidden: torch.ones(WIDTH), 1)
    hidden = torch.zeros(2, 3, WIDTH)
    changed, weights = steering.on_output(None, (), (hidden, "weights"))
    assert weights == "weights"
    assert changed[:, 0].eq(0).all() and changed[:, 1:].eq(1).all()
    assert torch.equal(steering.on_output(None, (), hidden), changed)


def test_half_precision_is_summed_in_float32_and_keeps_its_dtype(make_vector):
    model, vector = tiny(LLAMA).to(torch.bfloat16), wide_vector(make_vector)
    code = program(vector)
    seen = {}
    handle = model.model.layers[1].register_forward_pre_hook(lambda m, args: seen.update(hidden=args[0]))
    model(IDS)
    before = seen["hidden"]
    edit = code.dense_edit(vector.model_dump(), 0.3, model)
    with code.Steering(model, "blocks.0.hook_resid_post", edit, 0):
        model(IDS)
    handle.remove()
    expected = (before.float() + 0.3 * torch.tensor(vector.dense)).to(torch.bfloat16)
    assert seen["hidden"].dtype == torch.bfloat16 and torch.equal(seen["hidden"], expected)


def test_a_run_that_steered_nothing_raises(make_vector):
    model, vector = tiny(LLAMA), wide_vector(make_vector)
    code = program(vector)
    edit = code.dense_edit(vector.model_dump(), 1.0, model)
    with (
        pytest.raises(RuntimeError, match="the hook ran 0 times"),
        code.Steering(model, "blocks.0.hook_resid_post", edit, 0),
    ):
        pass
    with (
        pytest.raises(RuntimeError, match="the hook ran 1 times on no position"),
        code.Steering(model, "blocks.0.hook_resid_post", edit, 99),
    ):
        model(IDS)


def test_hooks_are_gone_after_an_error_inside_and_the_error_is_kept(make_vector):
    model, vector = tiny(LLAMA), wide_vector(make_vector)
    code, plain = program(vector), model(IDS).logits
    edit = code.dense_edit(vector.model_dump(), 1.0, model)
    with pytest.raises(ZeroDivisionError), code.Steering(model, "blocks.0.hook_resid_post", edit, 0):
        1 / 0  # noqa: B018
    assert torch.equal(model(IDS).logits, plain)


def test_an_unknown_family_and_a_missing_layer_are_said_clearly(make_vector):
    code = program(wide_vector(make_vector))
    opt = AutoModelForCausalLM.from_config(
        OPTConfig(
            vocab_size=VOCAB,
            hidden_size=WIDTH,
            ffn_dim=48,
            num_hidden_layers=1,
            num_attention_heads=4,
            word_embed_proj_dim=WIDTH,
            max_position_embeddings=64,
        )
    )
    with pytest.raises(ValueError, match="OPTForCausalLM keeps its layers in none of"):
        code.find_site(opt, "blocks.0.hook_resid_post")
    with pytest.raises(ValueError, match="acts at layer 7, and this model has 2 layers"):
        code.find_site(tiny(LLAMA), "blocks.7.hook_resid_post")


@pytest.mark.parametrize("hook", ["blocks.1.attn.hook_z", "hook_embed", "blocks.x.hook_resid_pre"])
def test_a_hook_without_a_counterpart_gets_no_program(make_vector, hook):
    with pytest.raises(BadInput, match="no counterpart in a plain transformers model"):
        snippet(wide_vector(make_vector, sae={"hook_name": hook}), filename="v.json")


HOSTILE = [
    "\"; import os; os.abort(); '",
    "a\"\"\"\n'''\\",
    "@EDIT@ @SETTINGS@",
    "\u2028 海 😀 {x} %s \\n",
    "\r\n#",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("exact", [False, True])
def test_text_from_the_file_stays_text_in_the_program(make_vector, text, exact):
    verify = {**make_vector().verify.model_dump(), "prompt": text}
    model = {**make_vector().model.model_dump(), "name": text}
    vector = make_vector(verify=verify, model=model, note=text)
    scope: dict = {"__name__": "program"}
    exec(compile(snippet(vector, filename=text, exact=exact), "program.py", "exec"), scope)
    assert (scope["PROMPT"], scope["MODEL"], scope["VECTOR_FILE"]) == (text, text, text)


@pytest.mark.parametrize("exact", [False, True])
def test_the_program_is_clean_python_without_placeholders(make_vector, exact):
    source = snippet(make_vector(), filename="v.json", exact=exact)
    assert re.search("@[A-Z_]+@", source) is None
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select=E,F,B,I",
        "--line-length=110",
        "-",
    ]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "All checks passed!"), done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "for SCALE > 0: 1 of 3 latents"),
        ({"nonlinearity": "none"}, "the vector's own edit"),
        ({"nonlinearity": "jumprelu"}, "under jumprelu a latent that stays below"),
        ({"method": "latents", "features": [{"index": 1, "value": 2}]}, "exact for SCALE >= 0"),
        ({"method": "latents", "features": [{"index": 1, "value": -2}]}, "exact for SCALE <= 0"),
        ({"sae": {"normalize_activations": "layer_norm"}}, "right for a residual of typical norm"),
    ],
)
def test_the_program_says_how_far_its_sum_is_the_edit(make_vector, changes, words):
    if "sae" in changes:
        changes = {"sae": {**make_vector().sae.model_dump(), **changes["sae"]}}
    source = snippet(make_vector(**changes), filename="v.json")
    comment = " ".join(line.removeprefix("# ") for line in source.splitlines() if line.startswith("# "))
    assert words in comment


def test_the_hub_name_of_a_short_name_is_filled_in(make_vector):
    model = {**make_vector().model.model_dump(), "name": "gemma-2-2b-it"}
    assert 'MODEL = "google/gemma-2-2b-it"' in snippet(make_vector(model=model), filename="v.json")


def test_the_plain_program_needs_no_sae_library(make_vector):
    assert "sae_lens" not in snippet(make_vector(), filename="v.json")
    assert "dense_edit" not in snippet(make_vector(), filename="v.json", exact=True)


def test_no_exact_program_is_written_when_the_sae_cannot_be_found(make_vector):
    sae = {**make_vector().sae.model_dump(), "path": None, "release": "r"}
    with pytest.raises(BadInput, match="names neither a folder nor a release"):
        snippet(make_vector(sae=sae), filename="v.json", exact=True)
