"""The text of the program that `snippet` fills in: `@NAME@` stands for a part, the rest is copied.

It must stay readable in one sitting. Written for transformers 4.56 to 5; tests run it with the installed one.
"""

DENSE = '''\
def dense_edit(vector, scale, model):
    """The change of the residual, the same at every steered token: scale times the decoded sum."""
    push = scale * torch.tensor(vector["dense"], dtype=torch.float32)
    return lambda hidden: push.to(hidden.device)
'''

EXACT = '''\
def load_sae(vector):
    from sae_lens import SAE

    if SAE_PATH:
        return SAE.load_from_disk(SAE_PATH, dtype="float32")
    return SAE.from_pretrained(vector["sae"]["release"], vector["sae"]["sae_id"], dtype="float32")


def exact_edit(vector, scale, model):
    """The change of the residual: (sigma(f + scale * value) - f) @ W_dec on the vector's latents."""
    sae = load_sae(vector).to(model.device)
    support = torch.tensor([feature["index"] for feature in vector["features"]], device=model.device)
    values = torch.tensor([feature["value"] for feature in vector["features"]], device=model.device)
    rows = sae.W_dec.detach()[support]
    normalised = sae.cfg.normalize_activations in ("layer_norm", "constant_norm_rescale")
    dense = torch.tensor(vector["dense"], device=model.device)
    if not normalised and (values @ rows - dense).norm() > 0.01 * dense.norm():
        raise ValueError("This is not the SAE of the vector: its decoder rows add up to another sum.")
    # a model processed with center_writing_weights has a residual of mean 0, and the SAE expects that
    centred = vector["model"]["processing"].get("center_writing_weights") and any(
        isinstance(module, torch.nn.LayerNorm) for module in model.modules()
    )

    def sigma(latents):
        if vector["nonlinearity"] == "none":
            return latents
        if vector["nonlinearity"] == "relu":
            return latents.relu()
        return latents.relu() * (latents > sae.threshold[support])

    def edit(hidden):
        x = hidden.float()
        x = x - x.mean(dim=-1, keepdim=True) if centred else x
        latents = sae.encode(x)[..., support]
        push = (sigma(latents + scale * values) - latents) @ rows
        if sae.cfg.normalize_activations == "layer_norm":
            return push * sae.ln_std
        if sae.cfg.normalize_activations == "constant_norm_rescale":
            return push / sae.x_norm_coeff
        return push

    return edit
'''

PROGRAM = '''\
"""Steer a language model with an exported sparse steering vector. Needs @NEEDS@."""

import json

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

@SETTINGS@

# where the families keep their decoder layers: Llama, Gemma, Mistral, Qwen; Gemma 3; GPT-2; GPT-NeoX
LAYERS = ("model.layers", "model.language_model.layers", "transformer.h", "gpt_neox.layers", "layers", "h")


def find_site(model, hook_name):
    """`blocks.12.hook_resid_post` -> the module that has this value, and whether as input or output."""
    _, number, site = hook_name.split(".")
    for path in LAYERS:
        layers = model
        for name in path.split("."):
            layers = getattr(layers, name, None)
        if isinstance(layers, torch.nn.ModuleList):
            break
    else:
        raise ValueError(f"{type(model).__name__} keeps its layers in none of {LAYERS}: add the place.")
    if int(number) >= len(layers):
        raise ValueError(f"The vector acts at layer {number}, and this model has {len(layers)} layers.")
    layer = layers[int(number)]
    if site == "hook_mlp_out":
        # Gemma 2 and 3 normalise what the MLP gives before it is added to the residual
        return getattr(layer, "post_feedforward_layernorm", None) or layer.mlp, "output"
    return layer, "input" if site == "hook_resid_pre" else "output"


@HONEST@
@EDIT@


class Steering:
    """Context manager: while it is open, the model adds `edit(hidden)` from position `first` on.

    Positions count from 0 in the whole sequence, cached tokens included, in every row of the batch; pad on
    the left. Raises RuntimeError at the end if nothing was steered.
    """

    def __init__(self, model, hook_name, edit, first):
        self.model, self.edit, self.first = model, edit, first
        self.module, self.side = find_site(model, hook_name)
        self.calls = self.steered_tokens = self.start = 0

    def __enter__(self):
        # the base model is told how many tokens are cached; the layers are not
        base = getattr(self.model, "base_model", self.model)
        self.handles = [base.register_forward_pre_hook(self.note_start, with_kwargs=True)]
        if self.side == "input":
            self.handles.append(self.module.register_forward_pre_hook(self.on_input, with_kwargs=True))
        else:
            self.handles.append(self.module.register_forward_hook(self.on_output))
        return self

    def __exit__(self, kind, error, trace):
        for handle in self.handles:
            handle.remove()
        if kind is None and self.steered_tokens == 0:
            raise RuntimeError(f"Nothing was steered: the hook ran {self.calls} times on no position.")

    def note_start(self, module, args, kwargs):
        cache = kwargs.get("past_key_values")
        self.start = 0 if cache is None else int(cache.get_seq_length())

    def on_input(self, module, args, kwargs):
        if args:
            return (self.steer(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self.steer(kwargs["hidden_states"])}

    def on_output(self, module, args, output):
        # older transformers return (hidden, ...), newer ones the hidden states alone
        if isinstance(output, tuple):
            return (self.steer(output[0]), *output[1:])
        return self.steer(output)

    def steer(self, hidden):
        """hidden: [batch, position, width]. Positions before `first` come back as they are."""
        positions = torch.arange(self.start, self.start + hidden.shape[1], device=hidden.device)
        here = positions >= self.first
        self.calls += 1
        self.steered_tokens += int(here.sum()) * hidden.shape[0]
        # summed in float32 and rounded once
        steered = (hidden.float() + self.edit(hidden)).to(hidden.dtype)
        return torch.where(here[:, None], steered, hidden)


def encode(tokenizer, prompt, vector):
    """Token ids [1, position] of the prompt, and the first position that the vector's rule steers."""
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": prompt}]
        turn = tokenizer.apply_chat_template(messages, tokenize=False)
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)
        after_instruction = len(tokenizer.encode(turn, add_special_tokens=False))
    else:
        ids = tokenizer.encode(prompt, add_special_tokens=False)
        recorded = (vector.get("verify") or {}).get("prompt_ids", [])
        if recorded[:1] == [tokenizer.bos_token_id] != ids[:1]:
            ids = [tokenizer.bos_token_id, *ids]
        after_instruction = len(ids)
    last = len(ids) - 1
    first = {"generated": last, "after-instruction": min(after_instruction, last), "all": min(1, last)}
    return torch.tensor([ids]), first[vector["steered_tokens"]]


def generate(model, ids):
    """Greedy continuation of ids [batch, position]; returns the new ids only."""
    ids = ids.to(model.device)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_NEW_TOKENS, do_sample=False
    )
    return out[:, ids.shape[1] :]


def main():
    with open(VECTOR_FILE, encoding="utf-8") as file:
        vector = json.load(file)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=getattr(torch, DTYPE)).eval()
    ids, first = encode(tokenizer, PROMPT, vector)
    edit = @MAKE_EDIT@(vector, SCALE, model)
    with torch.inference_mode():
        plain = generate(model, ids)
        with Steering(model, vector["sae"]["hook_name"], edit, first) as steering:
            steered = generate(model, ids)
    print("unsteered:", tokenizer.decode(plain[0], skip_special_tokens=True))
    print("steered:  ", tokenizer.decode(steered[0], skip_special_tokens=True))
    print(f"{steering.steered_tokens} positions steered in {steering.calls} passes at scale {SCALE}")


if __name__ == "__main__":
    main()
'''
