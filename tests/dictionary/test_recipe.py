"""A recipe as it is declared: what it means, where its files lie, and what is refused, by file and field."""

import json
from pathlib import Path

import pytest
import yaml

from sas_core.dictionary.recipe import read_recipe
from sas_core.dictionary.spec import Source, TrainSpec
from sas_core.errors import BadInput
from sas_core.model.presets import DEMO_SAE
from tests.test_import_direction import ROOT

LEAST = "hook: blocks.1.hook_resid_post\ntext: [a.txt]\ntokens: 2000\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.jsonl.zst", "held.txt"):
        (tmp_path / name).write_text("words")
    (tmp_path / "old" / "final").mkdir(parents=True)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return folder / "mine.yaml"


def refusal(folder: Path, text: str, *changes: str) -> str:
    with pytest.raises(BadInput) as refused:
        read_recipe(write(folder, text), changes)
    return str(refused.value)


def test_what_is_left_out_stands_at_its_default(folder: Path) -> None:
    found = read_recipe(write(folder, LEAST))
    a = Source(str(folder / "a.txt"))
    assert found.spec == TrainSpec("SmolLM2-135M-Instruct", "blocks.1.hook_resid_post", [a], 2000)
    assert (found.model, found.held_out, found.windows) == ("demo", {}, 64)


def test_every_field_reaches_the_training_and_files_are_read_from_the_recipes_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {
        "tokens": 9_000, "k": 3.5, "lr": 0.002, "batch_size": 64, "context_size": 32, "buffer_size": 640,
        "warm_up_steps": 7, "decay_share": 0.5, "dead_after_steps": 9, "seed": 4, "replay": 2,
        "replay_positions": 500, "threshold_scale": 0.5,
    }  # fmt: skip
    text = "model: old\nhook: h\nwidth: 48\nstart_from: old/final\nwindows: 3\nheld_out: {prose: held.txt}\n"
    text += "text: [{path: a.txt, weight: 2}, b.jsonl.zst, some/dataset]\n"
    path = write(folder, text + "".join(f"{name}: {value}\n" for name, value in numbers.items()))
    monkeypatch.chdir("/")
    found = read_recipe(path)
    sources = [
        Source(str(folder / "a.txt"), 2.0),
        Source(str(folder / "b.jsonl.zst")),
        Source("some/dataset"),
    ]
    begun = str(folder / "old" / "final")
    assert found.spec == TrainSpec("old", "h", sources, d_sae=48, start_from=begun, **numbers)
    assert found.model == str(folder / "old")
    assert (found.held_out, found.windows) == ({"prose": str(folder / "held.txt")}, 3)


def test_changes_are_put_in_their_place(folder: Path) -> None:
    changes = ("tokens=5_000", "held_out.prose=held.txt", "text=[b.jsonl.zst]", "lr=6e-4", "windows=")
    found = read_recipe(write(folder, LEAST + "windows: 3\n"), changes)
    assert (found.spec.tokens, found.spec.lr, found.windows) == (5_000, 6e-4, 64)
    assert found.spec.sources == [Source(str(folder / "b.jsonl.zst"))]
    assert found.held_out == {"prose": str(folder / "held.txt")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text: [a.txt]\ntokens: 1", "hook: field required"),
        (LEAST + "widht: 3", "widht: there is no such field"),
        (LEAST + "width: 30", "k 40 of a width of 30 is not possible"),
        (LEAST + "k: 0", "k: input should be greater than 0"),
        (LEAST + "k: .nan", "k: input should be"),
        (LEAST + "lr: 3", "lr: input should be less than 1 (given: 3)"),
        (LEAST + "tokens: many", "tokens: input should be a valid integer"),
        (LEAST + "batch_size: 4096", "batch_size 4,096 is more than there is to take it from"),
        (LEAST + "context_size: 1", "context_size: input should be greater than or equal to 2"),
        (LEAST + "text: []", "text: tuple should have at least 1 item"),
        (LEAST + "text: [{path: a.txt, weight: -1}]", "text.0.weight: input should be greater than 0"),
        (LEAST + "text: [{path: a.txt, weight: much}]", "text.0.weight: input should be a valid number"),
        (LEAST + "text: [a.txt, c.txt]", "c.txt is not there; check the path"),
        (LEAST + "text: [old]", "is a folder; name one file in it"),
        (LEAST + "held_out: {prose: none.jsonl}", "held_out.prose:"),
        (LEAST + "start_from: new", "start_from: there is no folder"),
        ("hook: [", "is no YAML at line 1"),
        ("- 1", "is no recipe of a training: it needs fields such as hook, text and tokens"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file(folder: Path, text: str, said: str) -> None:
    sentence = refusal(folder, text)
    assert said in sentence and "mine.yaml" in sentence


def test_a_change_that_is_none_and_a_file_that_is_not_there_are_named(folder: Path) -> None:
    assert "--set 'tokens' is no FIELD=VALUE, such as tokens=60000" in refusal(folder, LEAST, "tokens")
    with pytest.raises(BadInput, match=r"none\.yaml cannot be read"):
        read_recipe(folder / "none.yaml")


def test_the_recipe_that_is_run_as_it_stands_reads_only_what_is_shipped() -> None:
    found = read_recipe(ROOT / "docs" / "dictionary" / "small.yaml")
    files = [source.name for source in found.spec.sources] + list(found.held_out.values())
    assert found.model == "demo" and len(files) > 1
    assert all(Path(file).is_file() and Path(file).is_relative_to(ROOT) for file in files)


def with_its_files(name: str, tmp_path: Path) -> Path:
    """A recipe of the shipped dictionary in a folder where everything it names is there."""
    recipe = (ROOT / "docs" / "dictionary" / f"{name}.yaml").read_text(encoding="utf-8")
    said, place = yaml.safe_load(recipe), tmp_path / "docs" / "dictionary"
    place.mkdir(parents=True)
    for file in [text["path"] for text in said["text"]] + list(said["held_out"].values()):
        (place / file).parent.mkdir(exist_ok=True)
        (place / file).touch()
    for begun in ("demo-start", "demo-wide"):
        (tmp_path / begun / "final").mkdir(parents=True)
    return write(place, recipe)


@pytest.mark.parametrize("name", ["demo-start", "demo-wide", "demo"])
def test_the_recipes_of_the_shipped_dictionary_are_whole_once_their_texts_are_there(
    name: str, tmp_path: Path
) -> None:
    found = read_recipe(with_its_files(name, tmp_path))
    assert len(found.spec.sources) >= 10 and found.held_out.keys() == {"prose", "chat"}
    assert all(Path(source.name).is_absolute() for source in found.spec.sources)


def test_the_documented_recipe_is_that_of_the_shipped_dictionary(tmp_path: Path) -> None:
    documented = read_recipe(with_its_files("demo", tmp_path)).spec.told()
    shipped = json.loads((DEMO_SAE / "training.json").read_text(encoding="utf-8"))["spec"]
    mix, shipped_mix = (
        {s["name"].partition(".")[0]: s["weight"] for s in spec["sources"]} for spec in (documented, shipped)
    )
    assert mix == shipped_mix
    named_freely = {"sources", "start_from"}
    assert {k: v for k, v in documented.items() if k not in named_freely} == {
        k: shipped[k] for k in documented.keys() - named_freely
    }
