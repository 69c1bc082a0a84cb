"""Which device and dtype to run on, each with the reason a person is shown."""

from dataclasses import dataclass

import torch

from sas_core.errors import BadInput

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """Where the model runs and in which dtype. The SAE always encodes in float32."""

    device: str
    dtype: str
    reason: str

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]


def choose_placement(device: str = "auto", dtype: str = "auto") -> Placement:
    """Resolve `auto`; raises BadInput for an unknown name or a device this machine lacks."""
    if dtype not in ("auto", *DTYPES):
        raise BadInput(f"Unknown dtype {dtype!r}; choose auto, {', '.join(DTYPES)}.")
    chosen, why_device = _device(device)
    if dtype != "auto":
        return Placement(chosen, dtype, f"{why_device}; {dtype} as asked")
    picked, why_dtype = _dtype(chosen)
    return Placement(chosen, picked, f"{why_device}; {why_dtype}")


def _device(asked: str) -> tuple[str, str]:
    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda", f"CUDA found ({torch.cuda.get_device_name()})"
        if torch.backends.mps.is_available():
            return "mps", "Apple GPU found"
        return "cpu", "no GPU found"
    kind = asked.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise BadInput(f"Unknown device {asked!r}; choose auto, cpu, cuda or mps.")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[kind]:
        raise BadInput(
            f"This machine has no usable {kind} device for torch {torch.__version__}; "
            "choose --device auto or cpu."
        )
    return asked, f"{asked} as asked"


def _dtype(device: str) -> tuple[str, str]:
    if device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return "bfloat16", "bfloat16 halves memory traffic there"
    if device == "cpu":
        return "float32", "float32 so that results reproduce on any CPU"
    return "float32", "float32 is the safe choice there"
