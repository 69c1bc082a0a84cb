"""Builders of tiny models and SAEs, and the slow, plain computations that the fast ones are held against."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sas_core.model.chat import PromptTokens
from sas_core.model.dictionary import Dictionary
from sas_core.steering.gates import AnswerOnly, FirstTokens, Gate, WhileAbove
from sas_core.steering.spec import Steering, Term

D_MODEL = 32
D_SAE = 48
N_CTX = 192
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CORPUS = (
    "The train was late again this morning, so we walked along the river and talked about the book.",
    "user assistant system You are kind. Tell me about your day. What is the sea like in winter?",
    "In most years the harvest begins in early autumn, when the days are still warm and the sun is low.",
)


def _tokenizer(specials: list[str]) -> Any:
    """A byte-level BPE with a few merges: any text can be written in it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def chat_tokenizer() -> Any:
    """Like SmolLM2's: ChatML, `bos` is the token that opens a turn, `eos` the one that ends it."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
        bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>",
        extra_special_tokens=["<|endoftext|>"],
    )  # fmt: skip
    tokenizer.chat_template = CHATML
    return tokenizer


def plain_tokenizer() -> Any:
    """Like GPT-2's: one special token for everything, no template."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(["<|endoftext|>"]),
        bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def save_chat_tokenizer(folder: Path) -> None:
    chat_tokenizer().save_pretrained(folder)


def save_plain_tokenizer(folder: Path) -> None:
    plain_tokenizer().save_pretrained(folder)


def random_llama(seed: int = 1) -> Any:
    """RMS norm, rotary positions, four query heads on one key-value head, gated MLP, tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=360, hidden_size=D_MODEL, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=1, max_position_embeddings=N_CTX,
        initializer_range=0.25, bos_token_id=1, eos_token_id=2, pad_token_id=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def random_gpt2(seed: int = 2) -> Any:
    """Layer norm with biases, learned positions, plain MLP."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=360, n_embd=D_MODEL, n_layer=2, n_head=4, n_positions=N_CTX, n_ctx=N_CTX,
        initializer_range=0.25, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def hooked_llama_like(seed: int = 3, key_value_heads: int = 1) -> Any:
    """The class itself, without weights of anyone's format and before any layout pass."""
    return hooked_like(
        seed, n_layers=3, n_key_value_heads=key_value_heads, normalization_type="RMS", final_rms=True,
        act_fn="silu", gated_mlp=True, positional_embedding_type="rotary", rotary_dim=8,
    )  # fmt: skip


def hooked_gpt2_like(seed: int = 4) -> Any:
    return hooked_like(
        seed, n_layers=2, normalization_type="LN", act_fn="gelu_new", positional_embedding_type="standard"
    )


def hooked_like(seed: int, **options: Any) -> Any:
    """A HookedTransformer of any settings, with biases and weights large enough to matter."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    sizes = {"d_model": D_MODEL, "n_heads": 4, "d_head": 8, "d_mlp": 64, "n_ctx": N_CTX, "d_vocab": 120}
    cfg = HookedTransformerConfig(**(sizes | {"seed": seed, "device": "cpu"} | options))
    model = HookedTransformer(cfg).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "b_" in name.rsplit(".", 1)[-1]:
            parameter.data.normal_(std=0.1)
        elif parameter.dim() > 1:
            parameter.data.mul_(4.0)  # else every continuation is one token over and over
    return model


def build_sae(
    architecture: str,
    *,
    hook_name: str = "blocks.1.hook_resid_post",
    d_in: int = D_MODEL,
    d_sae: int = D_SAE,
    seed: int = 5,
    **options: Any,
) -> Any:
    """A sae-lens SAE with random weights, biases and (for JumpReLU) thresholds above zero."""
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

    metadata = {"hook_name": hook_name, "prepend_bos": False, **options.pop("metadata", {})}
    sae_class, config_class = get_sae_class(architecture)
    if architecture == "topk":
        options.setdefault("k", 8)
    cfg = config_class(d_in=d_in, d_sae=d_sae, metadata=SAEMetadata(**metadata), **options)
    sae = sae_class(cfg)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(sae.named_parameters()):
        random = torch.randn(parameter.shape, generator=generator)
        scale = {"W_enc": d_in**-0.5, "W_dec": 0.4, "threshold": 0.3}.get(name, 0.2)
        parameter.data = random.abs() * scale + 0.1 if name == "threshold" else random * scale
    return sae.eval().requires_grad_(False)


def build_dictionary(architecture: str, **options: Any) -> Dictionary:
    return Dictionary(build_sae(architecture, **options))


def slow_edit(sae: Any, a: Tensor, steering: Steering) -> Tensor:
    """The method as published, in full: encode all latents, add, sigma, decode, add the error back."""
    x = a.float()
    f = sae.encode(x)
    z = f + steering.scale * sum(t.strength * dense_direction(t, f.shape[-1]) for t in steering.terms)
    if steering.nonlinearity != "none":
        z = z.clamp_min(0.0)
    if steering.nonlinearity == "jumprelu":
        z = torch.where(z > sae.threshold, z, torch.zeros_like(z))
    error = x - decoded(sae, x, f)
    return (decoded(sae, x, z) + error).to(a.dtype)


def slow_moded_edit(sae: Any, a: Tensor, steering: Steering, places: Sequence[int]) -> Tensor:
    """Modes and gates as docs/steering.md defines them: every latent of every token by itself."""
    x = a.float()
    f = sae.encode(x)
    z = f.clone()
    for token, place in enumerate(places):
        there = f[token].tolist()
        terms = [t for t in steering.terms if gate_is_open(t.gate, there, place)]
        for latent in range(f.shape[-1]):
            asked = _asked_of(latent, there[latent], terms, steering.scale)
            if asked is None:
                continue
            if steering.nonlinearity != "none":
                asked = max(asked, 0.0)
            if steering.nonlinearity == "jumprelu" and asked <= float(sae.threshold[latent]):
                asked = 0.0
            z[token, latent] = asked
    error = x - decoded(sae, x, f)
    return (decoded(sae, x, z) + error).to(a.dtype)


def gate_is_open(gate: Gate | None, latents: Sequence[float], place: int) -> bool:
    """At a token with these latents whose residual chooses generated token `place` (negative: none)."""
    match gate:
        case WhileAbove(latent, threshold):
            return latents[latent] > threshold
        case FirstTokens(count):
            return 0 <= place < count
        case AnswerOnly():
            return place >= 0
    return True


def _asked_of(latent: int, value: float, terms: Sequence[Term], scale: float) -> float | None:
    """What open terms make of one latent before sigma; None if they leave it alone."""
    mine = [(t, v) for t in terms for i, v in zip(t.indices, t.values, strict=True) if i == latent]
    mine = [(t, v) for t, v in mine if scale * t.strength * v != 0.0]
    if not mine:
        return None
    clamps = [scale * t.strength * v for t, v in mine if t.mode == "clamp"]
    asked = sum(clamps) if clamps else value
    for t, v in mine:
        if t.mode == "scale":
            sign = 1.0 if v > 0 else -1.0
            asked *= max(0.0, 1.0 + scale * t.strength * sign)
        if t.mode == "ablate":
            asked *= 1.0 - min(1.0, max(0.0, scale * t.strength))
    return asked + sum(scale * t.strength * v for t, v in mine if t.mode == "add")


def decoded(sae: Any, x: Tensor, latents: Tensor) -> Tensor:
    """`sae.decode`, after an encode of `x`: sae-lens forgets the norms of its input once they are used."""
    sae.encode(x)
    return sae.decode(latents)


def dense_direction(term: Term, d_sae: int) -> Tensor:
    v = torch.zeros(d_sae)
    for index, value in zip(term.indices, term.values, strict=True):
        v[index] += value
    return v


def slow_logits(
    model: Any,
    hook_name: str,
    ids: Sequence[int],
    edit: Callable[[Tensor], Tensor] | None,
    positions: Collection[int],
) -> Tensor:
    """Logits `[pos, d_vocab]` of one sequence, run whole without a cache, edited at exactly `positions`."""
    where = sorted(positions)

    def hook(value: Tensor, hook: Any) -> Tensor:
        changed = value.clone()
        if edit is not None and where:
            changed[:, where] = edit(value[:, where])
        return changed

    tokens = torch.tensor([list(ids)])
    with torch.no_grad():
        return model.run_with_hooks(
            tokens, attention_mask=torch.ones_like(tokens), fwd_hooks=[(hook_name, hook)]
        )[0]


def slow_generate(
    model: Any,
    hook_name: str,
    prompt: PromptTokens,
    edit: Callable[[Tensor], Tensor] | None,
    first: int,
    count: int,
    *,
    stop_ids: Collection[int] = (),
    never: Collection[int] = (),
) -> list[int]:
    """Greedy tokens by running the whole sequence again for each of them.

    Every position from `first` on is edited, except those that hold a token of `never`.
    """
    ids = list(prompt.ids)
    while len(ids) < len(prompt) + count:
        where = [p for p in range(first, len(ids)) if ids[p] not in never]
        ids.append(int(slow_logits(model, hook_name, ids, edit, where)[-1].argmax()))
        if ids[-1] in stop_ids:
            break
    return ids[len(prompt) :]


def hooks_on(model: Any) -> list[str]:
    """Names of the hook points that still carry a hook."""
    return [name for name, point in model.hook_dict.items() if point.fwd_hooks or point._forward_hooks]


def term(latents: dict[int, float], strength: float = 1.0, name: str = "v") -> Term:
    return Term(name, tuple(latents), tuple(latents.values()), strength)
