"""Exit codes, the one sentence, and what help costs: the same for every command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sas_core.cli.common import OneSentenceErrors
from tests.cli.conftest import Run
from tests.cli.reference import commands

ROOT = Path(__file__).resolve().parents[2]


def said(cli: Run, *arguments: object, stdin: str | None = None) -> str:
    """The one line a refused command leaves on stderr."""
    ran = cli(*arguments, stdin=stdin)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.count("\n") == 1 and "Traceback" not in ran.err
    return ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["vector"], "Missing command"),
        (["--bogus"], "No such option: --bogus"),
        (["steer", "--prompt", "hi"], "nothing to steer with"),
        (["steer", "--latent", "1:2"], "Missing option '--prompt'"),
        (["steer", "--prompt", "hi", "--latent", "12"], "'12' is not INDEX:VALUE"),
        (["steer", "--prompt", "hi", "--latent", "12:nan"], "not a finite number"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--scale", "inf"], "scale inf"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--scale", "x"], "'--scale'"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--strength", "2"], "1 --strength for 0 --vector"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--max-new-tokens", "0"], "choose 1 to 256"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--greedy", "--temperature", "1"], "--greedy"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--top-p", "0.9"], "give --temperature too"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--tokens", "some"], "'--tokens'"),
        (["steer", "--prompt", " ", "--latent", "1:2"], "The prompt is empty"),
        (["steer", "--prompt", "hi", "--vector", "nowhere.json"], "nowhere.json cannot be read"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--preset", "nope"], "Unknown preset 'nope'"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--model", "gpt2"], "Name the SAE"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--sae-id", "a"], "give --model too"),
        (["steer", "--prompt", "hi", "--latent", "1:2", "--model", "m", "--preset", "demo"], "one of them"),
        (["activations"], "Missing option '--text'"),
        (["activations", "--text", "hi", "--top", "0"], "'--top'"),
        (["vector", "show"], "Missing argument"),
        (["vector", "show", "nowhere.json"], "nowhere.json cannot be read"),
        (["vector", "show", "."], ". cannot be read"),
        (["vector", "build", "--behaviour", "sea"], "Missing option '--out'"),
        (["vector", "build", "--out", "nowhere/v.json", "--behaviour", "sea"], "folder does not exist"),
        (["vector", "build", "--out", ".", "--behaviour", "sea"], "it is not a file"),
        (["vector", "build", "--out", "new.json"], "--behaviour NAME or --pairs FILE"),
        (["vector", "build", "--out", "new.json", "--behaviour", "seas"], "Near matches: sea"),
        (["vector", "build", "--out", "new.json", "--pairs", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["vector", "build", "--out", "new.json", "--behaviour", "sea", "--tau", "1.5"], "'--tau'"),
        (["vector", "build", "--out", "new.json", "--behaviour", "sea", "--strength", "nan"], "strength nan"),
        (["vector", "build", "--out", "new.json", "--behaviour", "sea", "--name", "a\nb"], "--name"),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in said(cli, *arguments)
    assert not (tmp_path / "new.json").exists()


def test_a_vector_file_with_a_fault_is_named_with_the_fault(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"format": "something else"}', encoding="utf-8")
    sentence = said(cli, "steer", "--prompt", "hi", "--vector", tmp_path / "odd.json")
    assert "odd.json" in sentence and "sparse-steering-vector" in sentence


def test_standard_input_that_is_empty_is_an_empty_prompt(cli: Run) -> None:
    assert "The prompt is empty" in said(cli, "steer", "--latent", "1:2", "--prompt", "-", stdin="\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sae-path", "nowhere"], "not an SAE folder"),
        (["--device", "abacus"], "Unknown device 'abacus'"),
        (["--device", "mps:0"], "no usable mps device"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence_too(
    cli: Run, tiny: list[object], options: list[str], words: str
) -> None:
    assert words in said(cli, "activations", "--text", "hi", *tiny, *options)


def test_a_model_that_is_nowhere_is_one_sentence(cli: Run, sae_folder: Path) -> None:
    sentence = said(cli, "activations", "--text", "hi", "--model", "no-such-model", "--sae-path", sae_folder)
    assert "no-such-model" in sentence


def test_no_command_at_all_prints_the_help(cli: Run) -> None:
    ran = cli()
    assert ran.code == 0 and "train-sae" in ran.out and ran.err == ""


def test_every_command_and_option_has_a_help_text() -> None:
    bare = [
        f"{' '.join(path)} {parameter.name}"
        for path, command in commands()
        for parameter in command.params
        if not parameter.help
    ]
    assert bare == []
    assert [path for path, command in commands() if not command.help] == []


def failing(error: BaseException) -> typer.Typer:
    """A program whose one command fails like this."""
    program = typer.Typer(cls=OneSentenceErrors, pretty_exceptions_enable=False)

    @program.callback()
    def group() -> None:
        """A group, as ours is."""

    @program.command()
    def fail() -> None:
        raise error

    return program


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    result = CliRunner().invoke(failing(RuntimeError("a bug")), ["fail"])
    assert result.exit_code == 1 and isinstance(result.exception, RuntimeError)


def test_ctrl_c_is_quiet_and_leaves_with_130() -> None:
    result = CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.output) == (130, "")


def test_the_program_itself_stops_quietly_on_ctrl_c(tmp_path: Path) -> None:
    pipe = tmp_path / "v.json"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "sas_core", "vector", "show", str(pipe)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        # opening waits for the reader, so the command has begun by then
        with pipe.open("w"):
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 130
        assert child.communicate() == ("", "")


def test_help_presets_and_reading_a_vector_need_no_torch(vector_file: Path) -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from sas_core.cli import app
for arguments in (["steer", "--help"], ["presets"], ["behaviours"], ["vector", "show", {str(vector_file)!r}]):
    assert CliRunner().invoke(app, arguments).exit_code == 0, arguments
print(*sorted({{"torch", "transformers", "sae_lens"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
