"""Decoding speed: steered against unsteered, several lanes against one, ours against the libraries' own.

    PYTHONPATH=. python benchmarks/bench_decode.py --preset demo --tokens 48 --rounds 5

Everything is greedy, has the same prompt and length, and counts the prompt's own forward pass. Arms are run
in turn; on a CPU a ratio is one of processor time, which other work on the computer disturbs less than the
clock, and on a GPU one of elapsed time.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.bench_edit import random_sae
from benchmarks.record import environment, in_turn, ratio, report
from sas_core.cli.output import note, quiet
from sas_core.model.chat import PromptTokens
from sas_core.model.dictionary import Dictionary
from sas_core.model.presets import Preset, get_preset, load_engine, model_source
from sas_core.steering.edit import Edit, SparseEdit
from sas_core.steering.engine import Engine
from sas_core.steering.generate import Decoder
from sas_core.steering.hook import steering_hook
from sas_core.steering.prefix import Prefixes, forward, fresh_cache
from sas_core.steering.sampling import choose
from sas_core.steering.spec import Sampling, Steering, Term

PROMPT = "Tell me about your day, and about the place where you would most like to live."
UNSTEERED, STEERED, TWO, EIGHT = "unsteered, 1 lane", "steered, 1 lane", "2 lanes", "8 lanes"
TRANSFORMERS, HOOKED = "transformers generate", "HookedTransformer.generate"
FULL = "HookedTransformer.generate, full SAE"
RELEASED, ONE_STEP = "slider released: first token", "one more token"
LONG = 200
# arm, against which other, and what the ratio of their times says
RATIOS = (
    ("steered / unsteered, one lane", STEERED, UNSTEERED),
    ("two lanes / one lane, time per step", TWO, UNSTEERED),
    ("eight lanes / one lane, time per step", EIGHT, UNSTEERED),
    ("ours / transformers generate, unsteered", UNSTEERED, TRANSFORMERS),
    ("HookedTransformer.generate (plain layout) / ours", HOOKED, UNSTEERED),
    ("HookedTransformer.generate with a full SAE / ours, steered", FULL, STEERED),
)


def main(
    preset: Annotated[str, typer.Option(help="Model and SAE.")] = "demo",
    sae_path: Annotated[str | None, typer.Option(help="Replaces the preset's SAE.")] = None,
    tokens: Annotated[int, typer.Option(min=2, help="New tokens of each run.")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="Counted rounds.")] = 5,
    latents: Annotated[int, typer.Option(min=1, help="Latents in the vector.")] = 128,
    widths: Annotated[str, typer.Option(help="Latents of random SAEs to steer with.")] = "4096,16384,65536",
    device: Annotated[str, typer.Option()] = "auto",
    dtype: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Time the arms in turn and print a table and a JSON line."""
    chosen = get_preset(preset)
    with quiet():
        engine = load_engine(chosen, device=device, dtype=dtype, sae_path=sae_path)
        arms, same = _arms(engine, chosen, tokens, latents)
        placed = environment(engine.placement.device, engine.placement.dtype)
        seconds = _in_turn(arms, rounds, engine.placement.device)
        released = _in_turn(_released(engine, latents), rounds, engine.placement.device)
        by_width = _in_turn(_widths(engine, tokens, latents, widths), rounds, engine.placement.device)
    lanes = {name: {TWO: 2, EIGHT: 8}.get(name, 1) for name in arms}
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    ratios = {label: ratio(seconds, top, bottom) for label, top, bottom in RATIOS}
    ratios["slider release to first token, decode steps"] = ratio(released, RELEASED, ONE_STEP)
    first, *wider = by_width
    ratios |= {f"{name} / {first}": ratio(by_width, name, first) for name in wider}
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
        "seconds": seconds, "released": released, "by_width": by_width,
        "path": engine.why_reference or "fast",
        "environment": placed,
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
        FULL: partial(_fully, engine, hooked),
    }
    return arms, same


def _in_turn(arms: Mapping[str, Callable[[], object]], rounds: int, device: str) -> dict[str, list[float]]:
    if device.startswith("cuda"):
        return in_turn(arms, rounds)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, arm in arms.items():
            start = time.process_time()
            arm()
            if number:
                seconds[name].append(time.process_time() - start)
    return seconds


def _released(engine: Engine, latents: int) -> dict[str, Callable[[], object]]:
    """A prompt of LONG tokens that has been answered before, asked again at another strength."""
    ids = (engine.turns.encode(PROMPT).ids * LONG)[:LONG]
    prompt, prefixes, edit = PromptTokens(ids, 0), Prefixes(), _edit(engine, latents, 1.0)

    def decode(tokens: int) -> None:
        for _ in _decoder(engine, prompt, tokens, [edit], prefixes).steps():
            pass

    decode(1)
    steps = _endless(engine, prompt, edit, prefixes)
    return {RELEASED: lambda: decode(1), ONE_STEP: lambda: next(steps)}


def _endless(engine: Engine, prompt: PromptTokens, edit: Edit | None, prefixes: Prefixes) -> Iterator[object]:
    """One decode step at a time, the hook set for that step alone so that other arms may run between."""
    decoder = _decoder(engine, prompt, 1, [edit], prefixes)
    cache, token = fresh_cache(engine.model, engine.hook_name), torch.tensor([prompt.ids[:1]])
    with torch.inference_mode():
        forward(engine.model, torch.tensor([prompt.ids], device=engine.model.cfg.device), cache, "none")
    while True:
        with torch.inference_mode(), steering_hook(engine.model, engine.hook_name, decoder.rows):
            logits = forward(engine.model, token.to(engine.model.cfg.device), cache, "last")
            token = choose(logits[:, -1], decoder.sampling, 0)[:, None]
        yield token


def _widths(engine: Engine, tokens: int, latents: int, widths: str) -> dict[str, Callable[[], object]]:
    """The same number of latents of ever wider dictionaries."""
    prompt, arms = engine.turns.encode(PROMPT), {}
    for width in map(int, widths.split(",")):
        dictionary = Dictionary(
            random_sae(width, engine.dictionary.identity.d_in), device=engine.placement.device
        )
        indices = tuple(i * width // latents for i in range(latents))
        edit = SparseEdit(dictionary, Steering((Term("bench", indices, (0.1,) * latents),)))
        arms[f"steered, {width:,} latents"] = partial(_ours, engine, prompt, tokens, [edit])
    return arms


def _edit(engine: Engine, latents: int, scale: float) -> Edit | None:
    """A vector of evenly spaced latents: what it says does not matter to its cost."""
    d_sae = engine.dictionary.identity.d_sae
    indices = tuple(sorted({i * d_sae // latents for i in range(latents)}))
    return engine.edit_for(Steering((Term("bench", indices, (1.0,) * len(indices)),), scale))


def _ours(engine: Engine, prompt: PromptTokens, tokens: int, edits: Sequence[Edit | None]) -> list[int]:
    """Tokens of the first lane; no token ends a lane, so that all runs are equally long."""
    decoder = _decoder(engine, prompt, tokens, edits)
    return [step.chosen[0].token_id for step in decoder.steps()]


def _decoder(
    engine: Engine,
    prompt: PromptTokens,
    tokens: int,
    edits: Sequence[Edit | None],
    prefixes: Prefixes | None = None,
) -> Decoder:
    return Decoder(
        engine.model, engine.hook_name, prompt, edits, Sampling(tokens), tokens="generated",
        stop_ids=frozenset(), typical_norm=engine.typical_norm, prefixes=prefixes,
    )  # fmt: skip


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


def _fully(engine: Engine, generate: Callable[[], object]) -> object:
    """The method as published, at every position: encode, add, relu, decode, add the error back."""
    sae, model = engine.dictionary.sae, generate.args[0]  # type: ignore[attr-defined]
    shift = torch.zeros(engine.dictionary.identity.d_sae, device=engine.placement.device)
    shift[::32] = 1.0

    def full(value: torch.Tensor, hook: Any) -> torch.Tensor:
        latents = sae.encode(value.float())
        error = value - sae.decode(latents)
        return (sae.decode((latents + shift).relu()) + error).to(value.dtype)

    with model.hooks(fwd_hooks=[(engine.hook_name, full)]):
        return generate()


def _common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(ours))


if __name__ == "__main__":
    typer.run(main)
