"""Decoding speed: steered against unsteered, several lanes against one, ours against the libraries' own.

    PYTHONPATH=. python benchmarks/bench_decode.py --preset demo --tokens 48 --rounds 5

Everything is greedy, has the same prompt and length, and counts the prompt's own forward pass.
"""

import copy
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.record import environment, in_turn, ratio, report
from sas_core.cli.output import note, quiet
from sas_core.model.chat import PromptTokens
from sas_core.model.presets import Preset, get_preset, load_engine, model_source
from sas_core.steering.edit import Edit
from sas_core.steering.engine import Engine
from sas_core.steering.generate import Decoder
from sas_core.steering.spec import Sampling, Steering, Term

PROMPT = "Tell me about your day, and about the place where you would most like to live."
UNSTEERED, STEERED, TWO, EIGHT = "unsteered, 1 lane", "steered, 1 lane", "2 lanes", "8 lanes"
TRANSFORMERS, HOOKED = "transformers generate", "HookedTransformer.generate"
# arm, against which other, and what the ratio of their times says
RATIOS = (
    ("steered / unsteered, one lane", STEERED, UNSTEERED),
    ("two lanes / one lane, time per step", TWO, UNSTEERED),
    ("eight lanes / one lane, time per step", EIGHT, UNSTEERED),
    ("ours / transformers generate, unsteered", UNSTEERED, TRANSFORMERS),
    ("HookedTransformer.generate (plain layout) / ours", HOOKED, UNSTEERED),
)


def main(
    preset: Annotated[str, typer.Option(help="Model and SAE.")] = "demo",
    sae_path: Annotated[str | None, typer.Option(help="Replaces the preset's SAE.")] = None,
    tokens: Annotated[int, typer.Option(min=2, help="New tokens of each run.")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="Counted rounds.")] = 5,
    latents: Annotated[int, typer.Option(min=1, help="Latents in the vector.")] = 128,
    device: Annotated[str, typer.Option()] = "auto",
    dtype: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Time the arms in turn and print a table and a JSON line."""
    chosen = get_preset(preset)
    with quiet():
        engine = load_engine(chosen, device=device, dtype=dtype, sae_path=sae_path)
        arms, same = _arms(engine, chosen, tokens, latents)
        placed = environment(engine.placement.device, engine.placement.dtype)
        seconds = in_turn(arms, rounds)
    lanes = {name: {TWO: 2, EIGHT: 8}.get(name, 1) for name in arms}
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    ratios = {label: ratio(seconds, top, bottom) for label, top, bottom in RATIOS}
    rows = [
        (name, f"{1000 * m / tokens:.1f}", f"{tokens / m:.1f}", f"{lanes[name] * tokens / m:.1f}")
        for name, m in medians.items()
    ]
    rows += [(label, f"{value:.2f} x", "", "") for label, value in ratios.items()]
    note(f"The first {same} of {tokens} greedy tokens equal those of transformers.")
    document = {
        "benchmark": "decode", "preset": preset, "sae": engine.dictionary.identity.sha256[:12],
        "d_sae": engine.dictionary.identity.d_sae, "tokens": tokens, "rounds": rounds, "latents": latents,
        "median_seconds": medians, "time_ratios": ratios, "same_tokens_as_transformers": same,
        "seconds": seconds, "environment": placed,
    }  # fmt: skip
    columns = ("arm", "ms per step", "tokens/s, a lane", "tokens/s, all lanes")
    report(f"Decoding {tokens} tokens, median of {rounds} rounds", columns, rows, document)


def _arms(
    engine: Engine, preset: Preset, tokens: int, latents: int
) -> tuple[dict[str, Callable[[], object]], int]:
    """The arms, and how many leading tokens ours and transformers' have in common."""
    prompt = engine.turns.encode(PROMPT)
    edits = [None, *(_edit(engine, latents, 0.25 * strength) for strength in range(1, 8))]
    ours = partial(_ours, engine, prompt, tokens)
    theirs = partial(_transformers, _load_transformers(engine, preset), prompt, tokens)
    hooked = partial(_hooked, _plain_layout(engine), prompt, tokens)
    same = _common(ours(edits[:1]), theirs())
    arms = {
        UNSTEERED: partial(ours, edits[:1]),
        STEERED: partial(ours, edits[4:5]),
        TWO: partial(ours, [None, edits[4]]),
        EIGHT: partial(ours, edits),
        TRANSFORMERS: theirs,
        HOOKED: hooked,
    }
    return arms, same


def _edit(engine: Engine, latents: int, scale: float) -> Edit | None:
    """A vector of evenly spaced latents: what it says does not matter to its cost."""
    d_sae = engine.dictionary.identity.d_sae
    indices = tuple(sorted({i * d_sae // latents for i in range(latents)}))
    return engine.edit_for(Steering((Term("bench", indices, (1.0,) * len(indices)),), scale))


def _ours(engine: Engine, prompt: PromptTokens, tokens: int, edits: Sequence[Edit | None]) -> list[int]:
    """Tokens of the first lane; no token ends a lane, so that all runs are equally long."""
    decoder = Decoder(
        engine.model, engine.hook_name, prompt, edits, Sampling(tokens), tokens="generated",
        stop_ids=frozenset(), typical_norm=engine.typical_norm,
    )  # fmt: skip
    return [step.chosen[0].token_id for step in decoder.steps()]


def _load_transformers(engine: Engine, preset: Preset) -> Any:
    from transformer_lens.loading_from_pretrained import get_official_model_name
    from transformers import AutoModelForCausalLM

    source = model_source(preset)
    name = source if Path(source).is_dir() else get_official_model_name(source)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=engine.placement.torch_dtype)
    # no token may end a run here either
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.to(engine.placement.device).eval()


@torch.inference_mode()
def _transformers(model: Any, prompt: PromptTokens, tokens: int) -> list[int]:
    ids = torch.tensor([prompt.ids], device=model.device)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, temperature=None,
        top_p=None, top_k=None,
    )  # fmt: skip
    return out[0, ids.shape[1] :].tolist()


def _plain_layout(engine: Engine) -> Any:
    """The same weights as transformer-lens stores them."""
    plain = copy.deepcopy(engine.model)
    for parameter in plain.parameters():
        parameter.data = parameter.data.contiguous()
    return plain


@torch.inference_mode()
def _hooked(model: Any, prompt: PromptTokens, tokens: int) -> list[int]:
    ids = torch.tensor([prompt.ids], device=model.cfg.device)
    out = model.generate(
        ids, max_new_tokens=tokens, do_sample=False, stop_at_eos=False, verbose=False, return_type="tokens"
    )
    return out[0, ids.shape[1] :].tolist()


def _common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(ours))


if __name__ == "__main__":
    typer.run(main)
