"""The two paths of the edit benchmark compute the same residual."""

import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import bench_edit


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(bench_edit.main)
    return made


def test_both_paths_agree_at_every_width_and_the_last_line_says_so(app) -> None:
    done = CliRunner().invoke(
        app, ["--widths", "256,1024", "--d-in", "32", "--latents", "16", "--tokens", "3", "--rounds", "2"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["d_sae"] for row in found["results"]] == [256, 1024]
    assert all(row["difference"] < 1e-4 and row["support"] > 0 for row in found["results"])


def test_some_latents_of_the_random_sae_are_active_and_most_are_not() -> None:
    import torch

    share = float((bench_edit.random_sae(2048, 64).encode(torch.randn(50, 64)) > 0).float().mean())
    assert 0.005 < share < 0.2


def test_widths_that_are_no_numbers_are_refused(app) -> None:
    assert CliRunner().invoke(app, ["--widths", "many"]).exit_code == 2
