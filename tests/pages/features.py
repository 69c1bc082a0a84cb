"""The page Features as its tests work it: opened, searched, read."""

from tests.pages.app import open_page, shown


def page(script="pages/atlas.py", *, query=None, **state):
    named = {f"atlas.{name}": value for name, value in state.items()}
    return open_page(script, "pages/atlas.py", query=query, state=named)


def search(at, text):
    at.text_input(key="atlas.query").set_value(text)
    return shown(at)


def found(at):
    """The latents of the cards, in their order."""
    opening = [b.key for b in at.button if b.key and b.key.startswith("atlas.open.")]
    return [int(key.rpartition(".")[2]) for key in opening]


def table(at):
    return at.get_by_key(at.session_state["atlas.table_key"]).value


def opened(at):
    (title,) = [header.value for header in at.header if header.value.startswith("Latent ")]
    return int(title.split()[1])


def loaded_path(at):
    (path,) = at.session_state["atlas.used"].values()
    return path
