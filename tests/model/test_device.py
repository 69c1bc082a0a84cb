import pytest
import torch

from sas_core.errors import BadInput
from sas_core.model.device import DTYPES, choose_placement

HAS_CUDA, HAS_MPS = torch.cuda.is_available(), torch.backends.mps.is_available()


def test_auto_takes_the_best_device_there_is_and_says_why() -> None:
    placement = choose_placement()

    assert placement.device == ("cuda" if HAS_CUDA else "mps" if HAS_MPS else "cpu")
    assert ("no GPU" in placement.reason) == (placement.device == "cpu")


def test_on_a_cpu_float32_is_chosen_so_that_results_reproduce() -> None:
    placement = choose_placement("cpu")

    assert (placement.device, placement.dtype) == ("cpu", "float32")
    assert "cpu as asked" in placement.reason and "reproduce" in placement.reason


@pytest.mark.parametrize("name", list(DTYPES))
def test_an_asked_dtype_is_taken_and_said_to_be_asked(name: str) -> None:
    placement = choose_placement("cpu", name)

    assert placement.torch_dtype == getattr(torch, name)
    assert f"{name} as asked" in placement.reason


def test_an_unknown_dtype_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput, match=r"'int8'.*auto, float32, bfloat16, float16"):
        choose_placement("cpu", "int8")


def test_an_unknown_device_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput, match=r"'tpu'.*auto, cpu, cuda or mps"):
        choose_placement("tpu")


def test_a_device_this_machine_lacks_is_refused_and_cpu_offered() -> None:
    missing = "mps" if not HAS_MPS else "cuda"  # no machine has both

    with pytest.raises(BadInput, match=rf"no usable {missing} device.*auto or cpu"):
        choose_placement(missing)
