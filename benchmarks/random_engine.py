"""Engines with random weights: what they cost depends on their shapes, not on what was learned."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sas_core.model.device import Placement
from sas_core.model.dictionary import Dictionary
from sas_core.model.hooked import activations_at
from sas_core.steering.engine import Engine

FIRING = 40
"""Latents that fire at a token, about: what published JumpReLU SAEs have."""
_CALIBRATED_ON = 256


@dataclass(frozen=True)
class Shape:
    """A transformer up to the layer that is read; the layers above it are never run in a build."""

    layers: int
    d_model: int
    heads: int
    key_value_heads: int
    d_head: int
    d_mlp: int
    vocabulary: int


SHAPES = {
    "tiny": Shape(2, 64, 4, 2, 16, 128, 2_000),
    # arXiv 2408.00118, table 1; read after block 12, where Gemma Scope has most of its SAEs
    "gemma-2-2b": Shape(13, 2_304, 8, 4, 256, 9_216, 256_000),
}


def random_engine(shape: Shape, d_sae: int, placement: Placement) -> Engine:
    """A random model of this shape with a random JumpReLU SAE after its last layer."""
    model = _model(shape, placement)
    hook_name = f"blocks.{shape.layers - 1}.hook_resid_post"
    seen = torch.from_numpy(_drawn(np.random.default_rng(1), _CALIBRATED_ON, shape.vocabulary))
    held = activations_at(model, hook_name, seen[None].to(placement.device))[0].float()
    sae = _sparse_sae(held, d_sae, hook_name)
    return Engine(model, Dictionary(sae, device=placement.device), placement, "random")


def random_corpus(path: Path, vocabulary: int, tokens: int, seed: int = 0) -> Path:
    """Texts of 20 to 400 words, one token each, drawn as unevenly as words are (Zipf)."""
    random = np.random.default_rng(seed)
    with path.open("w") as file:
        while tokens > 0:
            n = min(tokens, int(random.integers(20, 400)))
            words = (f"w{word}" for word in _drawn(random, n, vocabulary))
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
            tokens -= n
    return path


def _drawn(random: np.random.Generator, n: int, vocabulary: int) -> np.ndarray:
    return random.zipf(1.3, n) % vocabulary


def _model(shape: Shape, placement: Placement) -> Any:
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    cfg = HookedTransformerConfig(
        n_layers=shape.layers, d_model=shape.d_model, n_heads=shape.heads, d_head=shape.d_head,
        n_key_value_heads=shape.key_value_heads, d_mlp=shape.d_mlp, n_ctx=1_024, d_vocab=shape.vocabulary,
        act_fn="gelu_pytorch_tanh", gated_mlp=True, normalization_type="RMS", final_rms=True,
        positional_embedding_type="rotary", rotary_dim=shape.d_head, seed=0, device=placement.device,
        dtype=placement.torch_dtype,
    )  # fmt: skip
    with _tokenizer(shape.vocabulary) as tokenizer:
        return HookedTransformer(cfg, tokenizer).eval().requires_grad_(False)


@contextmanager
def _tokenizer(vocabulary: int) -> Iterator[Any]:
    """A word a token: w0, w1, ..."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{number}": number for number in range(vocabulary - 1)} | {"<end>": vocabulary - 1}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="w0", eos_token="<end>", bos_token="<end>", pad_token="<end>"
    )
    # transformer-lens loads it again from where it came
    with tempfile.TemporaryDirectory() as folder:
        fast.save_pretrained(folder)
        yield PreTrainedTokenizerFast.from_pretrained(folder)


def _sparse_sae(held: Tensor, d_sae: int, hook_name: str) -> Any:
    """One threshold for all latents, such that about FIRING of them fire at these residuals."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    cfg = JumpReLUSAEConfig(
        d_in=held.shape[-1], d_sae=d_sae, metadata=SAEMetadata(hook_name=hook_name, prepend_bos=False),
        device=str(held.device),
    )  # fmt: skip
    sae = JumpReLUSAE(cfg)
    generator = torch.Generator().manual_seed(0)
    for row in sae.W_dec.data.split(2**16):
        drawn = torch.randn(row.shape, generator=generator)
        row.copy_(drawn / drawn.norm(dim=-1, keepdim=True))
    sae.W_enc.data.copy_(sae.W_dec.data.T)
    # of a few residuals, so that the widest SAE's codes need no more memory here than in a build
    codes = torch.cat([(x @ sae.W_enc.data).topk(FIRING + 1).values[:, -1:] for x in held.split(16)])
    sae.threshold.data.fill_(float(codes.mean().clamp_min(1e-3)))
    return sae.eval().requires_grad_(False)
