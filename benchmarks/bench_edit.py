"""The edit alone: on the vector's support, against encoding and decoding the whole dictionary.

    PYTHONPATH=. python benchmarks/bench_edit.py --rounds 20

Random JumpReLU SAEs: the cost depends on sizes, not on what was learned. The full path is the method as
published: encode, add, sigma, decode, and the reconstruction error (a second decode) added back.
"""

import gc
import statistics
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks.record import environment, in_turn, ratio, report
from sas_core.cli.output import quiet
from sas_core.model.device import choose_placement
from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import SparseEdit
from sas_core.steering.spec import Steering, Term

WIDTHS = "4096,16384,65536,262144"
SUPPORT, FULL = "support", "full"


def main(
    widths: Annotated[str, typer.Option(help="Numbers of latents.")] = WIDTHS,
    d_in: Annotated[int, typer.Option(min=1, help="Width of the residual stream.")] = 576,
    latents: Annotated[int, typer.Option(min=1, help="Latents in the vector.")] = 128,
    tokens: Annotated[int, typer.Option(min=1, help="Residuals edited at once.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Counted rounds.")] = 20,
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Time both paths in turn at each width and print a table and a JSON line."""
    placed = choose_placement(device, "float32").device
    where = environment(placed, "float32")
    with quiet():
        results = [_measure(width, d_in, latents, tokens, rounds, placed) for width in _numbers(widths)]
    rows = [
        (f"{r['d_sae']:,}", f"{1e3 * r[SUPPORT]:.3f}", f"{1e3 * r[FULL]:.2f}", f"{r['ratio']:.0f} x",
         f"{r['difference']:.1e}")
        for r in results
    ]  # fmt: skip
    document = {
        "benchmark": "edit", "d_in": d_in, "latents": latents, "tokens": tokens, "rounds": rounds,
        "results": results, "environment": where,
    }  # fmt: skip
    columns = ("latents of the SAE", "support, ms", "full, ms", "full / support", "largest difference")
    title = f"One edit of {tokens} residuals of {d_in} with {latents} latents, median of {rounds} rounds"
    report(title, columns, rows, document)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--widths {text!r} is not a list of whole numbers like 4096,16384."
        ) from None


@torch.inference_mode()
def _measure(
    width: int, d_in: int, latents: int, tokens: int, rounds: int, device: str
) -> dict[str, float | int | list[float]]:
    sae = random_sae(width, d_in).to(device)
    steering = Steering(
        (Term("bench", tuple(range(0, width, width // latents))[:latents], (1.5,) * latents),)
    )
    edit = SparseEdit(Dictionary(sae, device=device), steering)
    residual = torch.randn(tokens, d_in, generator=torch.Generator().manual_seed(1)).to(device)
    full = _full_path(sae, steering)
    difference = float((edit.apply(residual).residual - full(residual)).abs().max())
    arms = {SUPPORT: lambda: edit.apply(residual), FULL: lambda: full(residual)}
    seconds = in_turn(arms, rounds)
    del sae, edit, full, arms
    gc.collect()
    return {
        "d_sae": width,
        SUPPORT: statistics.median(seconds[SUPPORT]),
        FULL: statistics.median(seconds[FULL]),
        "ratio": ratio(seconds, FULL, SUPPORT),
        "difference": difference,
    }


def _full_path(sae: Any, steering: Steering) -> Callable[[Tensor], Tensor]:
    added = steering.added()
    shift = torch.zeros(sae.cfg.d_sae, device=sae.W_dec.device)
    shift[list(added)] = torch.tensor(list(added.values()), device=shift.device)

    def full(residual: Tensor) -> Tensor:
        latents = sae.encode(residual)
        error = residual - sae.decode(latents)
        return sae.decode((latents + shift).relu()) + error

    return full


def random_sae(width: int, d_in: int) -> Any:
    """A JumpReLU SAE of this size: unit decoder rows, a few per cent of its latents active."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_in, d_sae=width, metadata=SAEMetadata(hook_name="none")))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(width, d_in, generator=generator)
    sae.W_dec.data = rows / rows.norm(dim=-1, keepdim=True)
    sae.W_enc.data = sae.W_dec.data.T.contiguous()
    sae.threshold.data.fill_(2.0)
    return sae.eval().requires_grad_(False)


if __name__ == "__main__":
    typer.run(main)
