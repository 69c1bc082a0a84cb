"""The one module that knows the class `HookedTransformer` (deprecated in transformer-lens 3, gone in 4).

Everything else sees a callable with named hook points and a `cfg`.
"""

import difflib
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sas_core.errors import BadInput, HookNeverRan, Unavailable
from sas_core.model.layout import lay_out_for_decoding

_NO_PROCESSING = {
    "fold_ln": False,
    "center_writing_weights": False,
    "center_unembed": False,
    "fold_value_biases": False,
}

Hook = Callable[[Tensor, Any], Tensor | None]


def load_hooked(
    name: str, *, device: str, dtype: torch.dtype, processing: dict[str, Any] | None = None
) -> Any:
    """Load a hub name or a local Hugging Face folder as a HookedTransformer in evaluation mode.

    `processing` are the SAE's `model_from_pretrained_kwargs`: `gpt2-small-res-jb` was trained on
    weights with `center_writing_weights=True`, and on raw weights its latents are wrong.

    Raises Unavailable when the weights cannot be had, BadInput for a model transformer-lens lacks or a
    folder that holds no model.
    """
    options = {**_NO_PROCESSING, **(processing or {})}
    local = Path(name).is_dir()
    load = _from_folder if local else _from_hub
    try:
        with _quiet():
            model = load(name, device, dtype, options)
    except OSError as error:
        if local:
            raise BadInput(
                f"The folder {name} holds no whole model ({_in_one_line(error)}). Give one with "
                "config.json, weights and tokenizer, as save_pretrained writes it."
            ) from error
        raise Unavailable(
            f"The weights of {name} are not on this machine and the model hub did not answer "
            f"({type(error).__name__}). Connect once, or give a local folder; "
            "the demo preset works without a hub."
        ) from error
    except (ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise BadInput(
            f"transformer-lens cannot load {name}: {_in_one_line(error).split('. Valid official')[0]}. "
            "Choose a model from its table, or a folder with a Hugging Face config.json."
        ) from error
    model.eval().requires_grad_(False)
    lay_out_for_decoding(model)
    return model


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")


def _from_hub(name: str, device: str, dtype: torch.dtype, options: dict[str, Any]) -> Any:
    from transformer_lens import HookedTransformer

    return HookedTransformer.from_pretrained(name, device=device, dtype=dtype, **options)


def _from_folder(name: str, device: str, dtype: torch.dtype, options: dict[str, Any]) -> Any:
    """`HookedTransformer.from_pretrained` takes official names only; its own parts take a folder."""
    from transformer_lens import HookedTransformer
    from transformer_lens import loading_from_pretrained as loading
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hf_model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    with _neutral_name(name) as link:
        cfg = loading.get_pretrained_model_config(
            link, fold_ln=options["fold_ln"], device=device, dtype=dtype
        )
        weights = loading.get_pretrained_state_dict(link, cfg, hf_model, dtype=dtype)
    cfg.model_name = Path(name).name
    model = HookedTransformer(cfg, AutoTokenizer.from_pretrained(name), move_to_device=False)
    model.load_and_process_state_dict(weights, **options)
    model.move_model_modules_to_device()
    return model


@contextmanager
def _neutral_name(name: str) -> Iterator[str]:
    """transformer-lens guesses the architecture from the path (`llama` anywhere in it wins); hide it."""
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        link = Path(folder) / "model"
        link.symlink_to(Path(name).resolve(), target_is_directory=True)
        yield str(link)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)
        try:
            # transformer-lens prints to stdout, which belongs to our JSON
            with redirect_stdout(sys.stderr):
                yield
        finally:
            logging.getLogger().setLevel(level)


def layer_of(hook_name: str) -> int | None:
    """`blocks.12.hook_resid_post` -> 12; None for a hook outside the blocks."""
    found = re.match(r"blocks\.(\d+)\.", hook_name)
    return int(found.group(1)) if found else None


def require_hook(model: Any, hook_name: str) -> None:
    """Raise BadInput with near matches when the model has no such hook point.

    transformer-lens accepts a misspelt name in silence and runs unsteered; this is why we ask first.
    """
    if hook_name in model.hook_dict:
        return
    near = difflib.get_close_matches(hook_name, model.hook_dict, n=3, cutoff=0.5)
    hint = f" Near matches: {', '.join(near)}." if near else ""
    raise BadInput(f"The model has no hook point named {hook_name!r}.{hint}")


@torch.inference_mode()
def activations_at(
    model: Any, hook_name: str, tokens: Int[Tensor, "batch pos"], attention_mask: Tensor | None = None
) -> Float[Tensor, "batch pos d_in"]:
    """What the model holds at one hook point; later layers are not run. Heads are flattened.

    Raises BadInput for an unknown hook, HookNeverRan for one that this model has but does not use.
    """
    require_hook(model, hook_name)
    seen: list[Tensor] = []

    def keep(value: Tensor, hook: Any) -> None:
        seen.append(value)

    layer = layer_of(hook_name)
    mask = torch.ones_like(tokens) if attention_mask is None else attention_mask
    with model.hooks(fwd_hooks=[(hook_name, keep)]):
        model(
            tokens,
            return_type=None,
            attention_mask=mask,
            stop_at_layer=None if layer is None else layer + 1,
        )
    if not seen:
        raise HookNeverRan(
            f"The model has a hook point {hook_name!r} but never runs it; choose an SAE for another hook."
        )
    return seen[0].flatten(start_dim=2)
