"""What latents are called on every page: a person's label, else an automatic one that looks different."""

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.loaded import EngineChoice, get_labels, get_shelf
from pages.shared.naming import Name, name_columns
from pages.shared.tokens import plain
from sas_core.atlas.autolabel import table
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import AutoLabel
from sas_core.steering.engine import Engine
from sas_core.steering.tray import Tray, latent_item
from sas_core.vectors.build import latents_file
from tests.atlas.tiny_atlas import tiny_atlas
from tests.pages.test_contrast import computed, ranked_latents

ROOT = Path(__file__).resolve().parents[2]
BUSY, UNCLEAR, FEW, OTHER = 20, 21, 22, 23
EVIL = "\u201c<img src=x onerror=alert(1)>\u201d, after **b** $x$"
RULES = {
    BUSY: (EVIL, "words", 0.86, 0.72, 0.94, 40),
    UNCLEAR: ("no clear pattern", "unclear", 0.55, 0.4, 0.69, 40),
    FEW: ("too few contexts", "few", None, None, None, 3),
    OTHER: ("line breaks", "class", 0.975, 0.9, 1.0, 36),
}

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def atlas(engine: Engine, tmp_path: Path) -> Path:
    """A tiny atlas with automatic labels on four of its latents."""
    path = tiny_atlas(tmp_path / "atlas" / "tiny.db", engine=engine)
    automatic(path, RULES)
    return path


def automatic(path: Path, rules: dict[int, tuple]) -> None:
    """Replace the automatic labels of an atlas."""
    with sqlite3.connect(path) as connection:
        table.clear(connection)
        table.write(connection, [(latent, AutoLabel(*rule)) for latent, rule in rules.items()])


def label(engine: Engine, latent: int, text: str) -> None:
    get_labels().put(engine.dictionary.identity.sha256, latent, text)


def started(at: AppTest, **state: Any) -> AppTest:
    at.session_state["engine_choice"] = EngineChoice("custom", model="tiny")
    for name, value in state.items():
        at.session_state[name.replace("__", ".")] = value
    return shown(at)


def shown(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def page(script: str, **state: Any) -> AppTest:
    return started(AppTest.from_file(str(ROOT / "pages" / script), default_timeout=60), **state)


def _names_app() -> None:
    import streamlit as st

    from pages.shared.loaded import get_engine
    from pages.shared.naming import names_of

    asked = st.session_state["asked"]
    st.session_state["found"] = names_of(get_engine(), asked, st.session_state["given"])


def names(asked: Sequence[int], given: dict[int, str] | None = None) -> dict[int, Name]:
    at = started(AppTest.from_function(_names_app, default_timeout=60), asked=list(asked), given=given)
    return at.session_state["found"]


def _card_app(index: int) -> None:
    from pages.shared.latent.card import draw_latent
    from pages.shared.loaded import get_atlas, get_engine
    from pages.shared.tray.state import get_tray

    engine = get_engine()
    get_tray(engine)
    draw_latent(engine, get_atlas(engine), index, key="here")


def card(index: int) -> AppTest:
    return started(AppTest.from_function(_card_app, args=(index,), default_timeout=60))


def _tray_app() -> None:
    from pages.shared.header import open_page

    open_page("Any page")


def texts(at: AppTest) -> str:
    kinds = (at.markdown, at.caption, at.text, at.info, at.warning, at.error)
    return "\n".join(element.value for kind in kinds for element in kind)


def called(frame: Any, latent: int, column: str = "latent") -> tuple[str, float | None]:
    """The label and the figure of a latent in a table."""
    row = frame[frame[column] == latent].iloc[0]
    return row["label"], row.get("auto_right")


def densities(atlas: Path, latents: Any) -> list[float]:
    """In percent, from the counts themselves."""
    with sqlite3.connect(atlas) as db:
        fired = dict(db.execute('SELECT "index", fired FROM latents'))
    tokens = Atlas.open(atlas).tokens_seen
    return [pytest.approx(100 * fired[int(latent)] / tokens) for latent in latents]


def has_button(at: AppTest, key: str) -> bool:
    return any(button.key == key for button in at.button)


def test_ones_own_label_goes_before_that_of_a_file_and_that_before_the_automatic_one(
    atlas: Path, engine: Engine
) -> None:
    asked = [BUSY, OTHER, UNCLEAR, FEW, 3]
    found = names(asked)
    assert {latent: name.words for latent, name in found.items()} == {
        BUSY: f"\u2248 {EVIL}", OTHER: "\u2248 line breaks"
    }  # fmt: skip
    given = {OTHER: "of the file", 3: "too"}
    assert {i: name.words for i, name in names(asked, given).items()} == {
        BUSY: f"\u2248 {EVIL}", OTHER: "of the file", 3: "too"
    }  # fmt: skip
    label(engine, OTHER, "mine")
    assert names([OTHER], given)[OTHER] == Name("mine")


def test_without_an_atlas_or_with_one_of_an_older_release_only_people_name_latents(
    engine: Engine, tmp_path: Path
) -> None:
    label(engine, BUSY, "mine")
    assert names([BUSY, OTHER]) == {BUSY: Name("mine")}
    path = tiny_atlas(tmp_path / "atlas" / "tiny.db", engine=engine)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE auto_labels")
    assert names([BUSY, OTHER]) == {BUSY: Name("mine")}
    assert "no label" in texts(card(OTHER))


def test_a_damaged_table_of_automatic_labels_costs_the_names_and_no_more(atlas: Path, engine: Engine) -> None:
    label(engine, OTHER, "mine")
    with sqlite3.connect(atlas) as connection:
        connection.execute("ALTER TABLE auto_labels DROP COLUMN kind")
    assert names([BUSY, OTHER]) == {OTHER: Name("mine")}


def test_a_name_is_never_read_as_markup_and_only_a_persons_is_bold() -> None:
    auto = AutoLabel(*RULES[BUSY])
    mine = Name("**b** ![](x) :red[y] <i>").markdown.removeprefix("**").removesuffix("**")
    theirs = Name.of(None, auto).markdown.removeprefix(":gray[").removesuffix("] :gray-badge[auto 0.86]")
    for text in (mine, theirs):
        assert "b" in text and not re.search(r"(?<!\\)[*<!$:\[\]]", text)
    assert Name("sea").markdown == "**sea**" and Name("sea").help is None
    assert Name.of("sea", auto) == Name("sea")
    assert "**" not in Name.of(None, AutoLabel("sea", *RULES[BUSY][1:])).markdown
    assert "0\\.72 to 0\\.94" in Name.of(None, auto).help


def test_a_table_has_a_column_only_for_what_there_is() -> None:
    mine, auto = Name("mine"), Name.of(None, AutoLabel("sea", "words", 0.9, 0.8, 0.95, 40))
    assert name_columns({}, [1, 2]) == {}
    assert name_columns({1: mine}, [2, 1]) == {"label": ["", "mine"]}
    assert name_columns({1: mine, 2: auto}, [1, 2, 3]) == {
        "label": ["mine", "\u2248 sea", ""], "auto_right": [None, 0.9, None]
    }  # fmt: skip


def test_the_card_says_how_far_its_automatic_label_is_right(atlas: Path) -> None:
    at = card(OTHER)
    assert [m.value for m in at.markdown if "line breaks" in m.value] == [
        ":gray[\u2248 line breaks] :gray-badge[auto 0.97]"
    ] * 2
    said = texts(at)
    assert plain(AutoLabel(*RULES[OTHER]).said) in said and "0\\.90 to 1\\.00; chance 0\\.5" in said
    assert "no label" not in texts(at)


@pytest.mark.parametrize("latent", [UNCLEAR, FEW])
def test_where_no_rule_held_the_card_says_so_and_offers_nothing(atlas: Path, latent: int) -> None:
    at = card(latent)
    assert RULES[latent][0] in [caption.value for caption in at.caption]
    assert "No automatic label: " in texts(at)
    assert not has_button(at, f"here.label.{latent}.use")


def test_an_automatic_label_that_is_used_becomes_ones_own_and_can_be_changed(
    atlas: Path, engine: Engine
) -> None:
    sha, field = engine.dictionary.identity.sha256, f"here.label.{BUSY}"
    at = card(BUSY)
    assert at.text_input(key=field).value == ""
    at.button(key=f"{field}.use").click()
    shown(at)
    assert at.text_input(key=field).value == get_labels().get(sha, BUSY).label == EVIL
    assert not has_button(at, f"{field}.use")
    at.text_input(key=field).set_value("spray")
    shown(at)
    assert get_labels().get(sha, BUSY).label == "spray"
    assert any(m.value == "**spray**" for m in at.markdown)
    at.text_input(key=field).set_value("")
    assert has_button(shown(at), f"{field}.use")


def test_the_list_and_the_hits_of_features_mark_automatic_labels(atlas: Path, engine: Engine) -> None:
    label(engine, BUSY, "mine")
    at = page("atlas.py")
    frame = at.get_by_key(at.session_state["atlas.table_key"]).value
    assert called(frame, OTHER, "index") == ("\u2248 line breaks", 0.975)
    assert called(frame, UNCLEAR, "index")[0] == ""
    mine, figure = called(frame, BUSY, "index")
    assert mine == "mine" and figure != figure
    at.text_input(key="atlas.query").set_value(f"like: {OTHER}")
    shown(at)
    listed = [b.key for b in at.button if b.key and b.key.startswith("atlas.open.")]
    assert (f"atlas.open.{BUSY}" in listed) == any(m.value == "**mine**" for m in at.markdown)


def test_a_hit_shows_its_automatic_label_muted(atlas: Path) -> None:
    at = page("atlas.py", atlas__query=str(OTHER))
    muted = [m.value for m in at.markdown if m.value.startswith(":gray[\u2248 line breaks]")]
    assert len(muted) == 3  # the hit, the head of the card, above the field


def test_words_find_automatic_labels_and_say_that_they_did(atlas: Path) -> None:
    at = page("atlas.py", atlas__query="line breaks")
    opening = [b.key for b in at.button if b.key and b.key.startswith("atlas.open.")]
    assert opening[0] == f"atlas.open.{OTHER}"
    assert "in its automatic label" in texts(at) and "in your label" not in texts(at)


def test_the_tray_names_its_latents_and_carries_no_automatic_label_away(atlas: Path) -> None:
    tray = Tray((latent_item(OTHER, 2.0), latent_item(UNCLEAR, 1.0)))
    at = started(AppTest.from_function(_tray_app, default_timeout=60), tray=tray)
    said = [element.value for element in at.markdown]
    assert said.count(":small[:gray[\u2248 line breaks] :gray-badge[auto 0.97]]") == 1
    assert not any("no clear pattern" in text for text in said)
    assert [item.label for item in at.session_state["tray"]] == [f"latent {OTHER}", f"latent {UNCLEAR}"]


def test_a_full_tray_has_the_names_on_its_lines(atlas: Path) -> None:
    tray = Tray(tuple(latent_item(latent, 1.0) for latent in (OTHER, 3, 4, 5, 6, 7, BUSY)))
    at = started(AppTest.from_function(_tray_app, default_timeout=60), tray=tray)
    assert any(f"latent {BUSY} :gray[\u2248 " in box.label for box in at.checkbox)


def test_the_evidence_of_a_vector_has_the_files_labels_and_automatic_ones(
    atlas: Path, engine: Engine
) -> None:
    values = {BUSY: 2.0, OTHER: 1.0, 3: 0.5}
    get_shelf().save(latents_file(engine, "waves", values, labels={BUSY: "spray"}, verify=False), "built")
    at = page("vectors.py")
    (frame,) = (drawn.value for drawn in at.dataframe if "index" in drawn.value)
    assert frame["density"].tolist() == densities(atlas, frame["index"])
    assert [called(frame, latent, "index")[0] for latent in (BUSY, OTHER, 3)] == [
        "spray", "\u2248 line breaks", ""
    ]  # fmt: skip


def test_the_ranked_table_and_the_card_beside_it_name_latents(atlas: Path, engine: Engine) -> None:
    at = computed()
    first, second, third = ranked_latents(at)[:3]
    label(engine, first, "mine")
    automatic(atlas, {second: RULES[OTHER], third: RULES[UNCLEAR]})
    at.session_state["contrast.latent"] = second
    shown(at)
    (frame,) = (drawn.value for drawn in at.dataframe if "freq_pos" in drawn.value)
    assert frame["label"].tolist()[:3] == ["mine", "\u2248 line breaks", ""]
    assert list(frame)[:5] == ["latent", "side", "label", "auto_right", "density"]
    assert frame["density"].tolist() == densities(atlas, frame["latent"])
    assert ":gray[\u2248 line breaks] :gray-badge[auto 0.97]" in [m.value for m in at.markdown]
