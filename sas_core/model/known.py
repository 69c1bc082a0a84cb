"""Whether the fast path computes what this HookedTransformer computes; when in doubt, it does not.

A setting of transformer-lens that is not named here is unknown, and a model that has one takes the reference
path: an update of the library can make decoding slower, never wrong.
"""

import re
from typing import Any

import torch

_ONLY: dict[str, tuple[Any, ...]] = {
    "positional_embedding_type": ("standard", "rotary"),
    "normalization_type": ("LN", "LNPre", "RMS", "RMSPre"),
    "act_fn": ("silu", "relu", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"),
    "dtype": (torch.float32, torch.bfloat16, torch.float16),
    "attention_dir": ("causal",),
    "n_devices": (1,),
    "original_architecture": (
        None, "GPT2LMHeadModel", "GPTNeoXForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
        "Qwen2ForCausalLM", "Qwen3ForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
    ),
} | dict.fromkeys(
    ("use_hook_mlp_in", "use_attn_in", "use_logn_attn", "use_dynamic_ntk_rope", "attn_only",
     "use_hook_tokens", "ungroup_grouped_query_attention", "post_embedding_ln", "load_in_4bit",
     "use_attn_result", "use_split_qkv_input", "use_attention_sinks"),
    (False,),
) | dict.fromkeys(
    ("clip_qkv", "quantization_method", "num_experts", "relative_attention_max_distance",
     "relative_attention_num_buckets"),
    (None,),
)  # fmt: skip
# computed with whatever their value, or without a say in the computation
_NAMES = """
    d_model d_head d_mlp d_vocab d_vocab_out n_ctx n_heads n_key_value_heads n_layers device eps
    use_attn_scale attn_scale use_qk_norm use_local_attn window_size attn_types
    scale_attn_by_inverse_layer_idx final_rms parallel_attn_mlp rotary_dim rotary_base
    rotary_base_local rotary_scaling_factor rotary_adjacent_pairs gated_mlp
    use_normalization_before_and_after attn_scores_soft_cap output_logits_soft_cap
    use_NTK_by_parts_rope NTK_by_parts_low_freq_factor NTK_by_parts_high_freq_factor
    NTK_by_parts_factor NTK_original_ctx_len use_yarn_rope yarn_factor yarn_attention_factor
    yarn_beta_fast yarn_beta_slow yarn_original_max_position_embeddings yarn_truncate
    yarn_global_attn_only train_seq_length tie_word_embeddings model_name from_checkpoint
    checkpoint_index checkpoint_label_type checkpoint_value tokenizer_name init_mode seed
    initializer_range init_weights n_params tokenizer_prepends_bos trust_remote_code
    default_prepend_bos decoder_start_token_id norm_topk_prob experts_per_token uses_rms_norm
    layer_norm_folding
"""
_ANY = frozenset(_NAMES.split())
_PARTS = {
    "attn": ("Attention", "GroupedQueryAttention"),
    "mlp": ("MLP", "GatedMLP"),
    "ln1": ("LayerNorm", "LayerNormPre", "RMSNorm", "RMSNormPre"),
    "ln2": ("LayerNorm", "LayerNormPre", "RMSNorm", "RMSNormPre"),
}
_SERVED = re.compile(
    r"hook_embed|hook_pos_embed|blocks\.\d+\.hook_(resid_pre|attn_out|resid_mid|mlp_out|resid_post)"
)


def why_reference(model: Any, hook_name: str | None) -> str | None:
    """Why the reference path must be taken, as a clause, or None where the fast path serves.

    `hook_name`: where a hook will be set; None: somewhere, so that only the reference will do.
    """
    if hook_name is None or not _SERVED.fullmatch(hook_name) or hook_name not in model.hook_dict:
        return f"it has no hook point {hook_name}"
    for name, point in model.hook_dict.items():
        if point._forward_hooks and not _SERVED.fullmatch(name):
            return f"a hook sits at {name}"
    return _unknown_setting(model.cfg) or _unknown_part(model)


def _unknown_setting(cfg: Any) -> str | None:
    for name, value in vars(cfg).items():
        if name in _ONLY and value not in _ONLY[name]:
            return f"it does not know {name} = {value}"
        if name not in _ONLY and name not in _ANY:
            return f"it does not know the setting {name}"
    return None


def _unknown_part(model: Any) -> str | None:
    if type(model).__name__ != "HookedTransformer":
        return f"the model is a {type(model).__name__}"
    for block in model.blocks:
        for name, kinds in _PARTS.items():
            kind = type(getattr(block, name)).__name__
            if kind not in kinds:
                return f"it does not know {kind}"
    return None
