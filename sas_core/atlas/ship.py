"""Make the atlas that ships with the demo: `python -m sas_core.atlas.ship --corpus FILE`.

To be run after a new dictionary or another corpus. The corpus is packed first and the atlas built from the
packed file, so that the hash in the atlas is that of the file beside it. Stopped, the same command
goes on where it was.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from sas_core.atlas.autolabel import summary
from sas_core.atlas.build import BuildSpec, build
from sas_core.atlas.files import atlas_folder
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.readers import Readers
from sas_core.atlas.shipped import ATLAS, CORPUS, DEMO_FOLDER, FACTS
from sas_core.atlas.store import read_made_of
from sas_core.atlas.types import DENSITY_CLASSES
from sas_core.errors import BadInput, SteerscopeError
from sas_core.model.packed import unpacked
from sas_core.model.presets import get_preset, load_engine
from sas_core.model.rows import describe

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

MOST_BYTES = 25_000_000
_LEVEL = 19
_BUILT, _README = "atlas.db", "README.md"


def ship(
    engine: "Engine",
    corpus: Path,
    *,
    limit_tokens: int | None = None,
    sampled: Sequence[str] = ("0:900000",),
    work: Path | None = None,
    folder: Path = DEMO_FOLDER,
    most_bytes: int = MOST_BYTES,
) -> int:
    """Build the atlas of `corpus` in `work`, pack both and put them in `folder`; returns their bytes.

    `sampled` says how the corpus was made, for its README: `seed:tokens` of each run of sample_corpus.
    `work` is kept when the build is stopped and removed at the end. Raises BadInput for a corpus that is no
    JSONL, when the two are larger than `most_bytes`, and what `build` raises.
    """
    work = work or atlas_folder() / "ship"
    work.mkdir(parents=True, exist_ok=True)
    _pack_corpus(corpus, work / CORPUS)
    facts = _build(engine, BuildSpec(str(work / CORPUS), limit_tokens=limit_tokens), work / _BUILT)
    with (work / _BUILT).open("rb") as source:
        _pack(source, work / ATLAS)
    size = sum((work / name).stat().st_size for name in (ATLAS, CORPUS))
    if size > most_bytes:
        raise BadInput(
            f"Atlas and corpus have {size / 1e6:.1f} MB packed, and at most {most_bytes / 1e6:g} MB are "
            "shipped. Read fewer tokens with --limit-tokens, or give a smaller corpus."
        )
    (work / FACTS).write_text(json.dumps(asdict(facts), indent=1) + "\n", encoding="utf-8")
    readme = _readme(facts, work, limit_tokens, sampled)
    (work / _README).write_text(readme, encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (ATLAS, CORPUS, FACTS, _README):
        shutil.move(work / name, folder / name)
    shutil.rmtree(work)
    return size


def _build(engine: "Engine", spec: BuildSpec, path: Path) -> MadeOf:
    """The facts of the finished atlas at `path`, whether it was begun now, before, or finished before."""
    if path.is_file() and read_made_of(path).finished and not _answers(path, engine, spec):
        path.unlink()
    begun = path.is_file()
    if not (begun and read_made_of(path).finished):
        with closing(build(engine, spec, path, resume=begun)) as steps:
            for at in steps:
                print(at.sentence, file=sys.stderr)
    return read_made_of(path)


def _answers(path: Path, engine: "Engine", spec: BuildSpec) -> bool:
    """Whether a finished atlas is of this engine, text and limit."""
    facts = read_made_of(path)
    asked = (engine.dictionary.identity.sha256, describe(spec.corpus).sha256, spec.limit_tokens)
    return asked == (facts.sae_sha256, facts.corpus_sha256, facts.limit_tokens)


def _pack_corpus(corpus: Path, packed: Path) -> None:
    """Pack the rows as they are; a packed corpus is unpacked on the way, so that all come out the same."""
    if ".jsonl" not in corpus.suffixes:
        raise BadInput(f"{corpus} is no .jsonl file; sample one with python -m sas_core.atlas.sample_corpus.")
    if not corpus.is_file():
        raise BadInput(f"There is no file {corpus}. Check the path.")
    with unpacked(corpus) as source:
        _pack(source, packed)


def _pack(source: BinaryIO, path: Path) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as target:
        zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).copy_stream(source, target)
    part.replace(path)


def _readme(facts: MadeOf, work: Path, limit_tokens: int | None, sampled: Sequence[str]) -> str:
    with closing(Readers(work / _BUILT)) as readers, readers.reading() as db:
        classes = dict(db.execute("SELECT density_class, count(*) FROM latents GROUP BY 1").fetchall())
        contexts = db.execute("SELECT count(*) FROM contexts").fetchone()[0]
        labels = summary.sentence(summary.of(db))
    sizes = {name: f"{(work / name).stat().st_size / 1e6:.1f} MB" for name in (ATLAS, CORPUS, _BUILT)}
    return _TEXT.format(
        **asdict(facts) | {"versions": ", ".join(" ".join(each) for each in facts.versions.items())},
        latents=", ".join(f"{classes.get(name, 0):,} {name}" for name in DENSITY_CLASSES),
        limit=f" --limit-tokens {limit_tokens}" if limit_tokens else "",
        atlas_size=sizes[ATLAS], corpus_size=sizes[CORPUS], built_size=sizes[_BUILT],
        contexts=contexts, labels=labels, sampling=_sampling(sampled), atlas_file=ATLAS, corpus_file=CORPUS,
    )  # fmt: skip


def _sampling(sampled: Sequence[str]) -> str:
    """The commands that sampled the corpus, and how their files were joined."""
    lines, parts = [], []
    for run in sampled:
        seed, _, tokens = run.partition(":")
        parts.append(f"sampled-{seed}.jsonl")
        lines.append(
            f"python -m sas_core.atlas.sample_corpus --out {parts[-1]} --tokens {tokens} --seed {seed}"
        )
    return "\n".join([*lines, f"cat {' '.join(parts)} > corpus.jsonl"])


_TEXT = """# Atlas of the demo's dictionary

What each of the {d_sae:,} latents of the SAE `{sae_name}` (`{model}`, `{hook_name}`) does in a text that the
demo model itself wrote: every line of it was sampled from the model, from prompts of ours.

- `{atlas_file}` ({atlas_size}, {built_size} unpacked): the atlas, an SQLite file; unpacked on first need.
- `{corpus_file}` ({corpus_size}): the text it was built from, a row a document.
- `made_of.json`: what the atlas says it is made of.

Made by:

```
{sampling}
python -m sas_core.atlas.ship --corpus corpus.jsonl{limit}
```

- Read: {tokens_read:,} tokens of {documents:,} documents, in {windows:,} windows of at most {window} tokens.
- Counted: {tokens_seen:,} tokens; left out were {special_excluded:,} special tokens and tokens of the
  template's preamble, and {sinks_excluded:,} attention sinks.
- Latents: {latents}.
- Contexts: {contexts:,}, at most {top_k} strongest and {top_k} sampled ones a latent.
- Automatic labels: {labels}.
- Corpus: sha256 `{corpus_sha256}`. SAE: sha256 `{sae_sha256}`.
- Finished {finished} with {versions}.
"""


def main(arguments: list[str] | None = None) -> int:
    """Ship the demo's atlas; 0 done, 2 with the reason on stderr, 130 when stopped."""
    parser = argparse.ArgumentParser(prog="python -m sas_core.atlas.ship", description=main.__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="JSONL written by sample_corpus")
    parser.add_argument("--limit-tokens", type=int, help="read no more than so many tokens")
    parser.add_argument(
        "--sampled", action="append", metavar="SEED:TOKENS", help="a run of sample_corpus, for the README"
    )
    asked = parser.parse_args(arguments)
    try:
        engine = load_engine(get_preset("demo"))
        sampled = asked.sampled or ["0:900000"]
        size = ship(engine, asked.corpus, limit_tokens=asked.limit_tokens, sampled=sampled)
    except SteerscopeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from there.", file=sys.stderr)
        return 130
    print(f"{DEMO_FOLDER}: {size / 1e6:.1f} MB", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
