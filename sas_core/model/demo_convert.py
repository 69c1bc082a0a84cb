"""GGUF -> float32 safetensors in transformers' own format, in a process of its own.

Its own process, because it would hold twice the weights in memory and draw transformers' progress bars among
ours. The values are those transformers de-quantises, so tokens equal those of its own GGUF load.
"""

import sys
from collections.abc import Generator
from pathlib import Path

from sas_core.errors import Unavailable
from sas_core.model.child import last_line, run_child


def convert(gguf: Path, folder: Path, lock_fd: int) -> Generator[None, None, None]:
    """Yield while a child process converts. Raises Unavailable when it fails (memory, disk)."""
    log = gguf.with_name("convert.log")
    command = [sys.executable, "-m", "sas_core.model.demo_convert", str(gguf), str(folder)]
    status = yield from run_child(command, log, lock_fd)
    if status:
        raise Unavailable(
            f"The demo model could not be converted ({last_line(log)}). "
            "It needs about 2 GB of free memory; close something and start again."
        )


def convert_here(gguf: Path, folder: Path) -> None:
    """Load with transformers, save model, tokenizer and chat template to `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = {"gguf_file": gguf.name, "local_files_only": True}
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
    config = loaded.config.to_dict()
    # Left in, the quantisation entry would make transformers refuse to save what is now plain float32.
    config.pop("quantization_config", None)
    plain = LlamaForCausalLM(LlamaConfig(**config)).to(torch.float32)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)


if __name__ == "__main__":
    convert_here(Path(sys.argv[1]), Path(sys.argv[2]))
