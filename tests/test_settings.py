"""The settings table: environment over default, and a sentence for what cannot be used."""

import pytest

from sas_core.errors import BadInput
from sas_core.settings import SETTINGS, limit, setting


def test_without_a_variable_every_setting_has_its_default(monkeypatch):
    for row in SETTINGS:
        monkeypatch.delenv(row.variable, raising=False)
        assert setting(row.name) == row.default


def test_the_environment_overrides_the_default_from_then_on(monkeypatch):
    monkeypatch.setenv("STEERSCOPE_MAX_PAIRS", "7")
    assert setting("max_pairs") == limit("max_pairs") == 7
    monkeypatch.setenv("STEERSCOPE_MAX_PAIRS", "8")
    assert setting("max_pairs") == 8


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("STEERSCOPE_PORT", " ")
    assert setting("port") == 8501


@pytest.mark.parametrize("text", ["many", "1.5", "0", "-3", "1e3", "nan"])
def test_a_value_that_is_no_whole_number_of_one_or_more_is_refused_by_name(monkeypatch, text):
    monkeypatch.setenv("STEERSCOPE_MAX_PAIRS", text)
    with pytest.raises(BadInput, match=r"STEERSCOPE_MAX_PAIRS is '.*whole number of 1 or more"):
        setting("max_pairs")


def test_a_name_that_is_not_in_the_table_is_a_mistake_of_the_program():
    with pytest.raises(KeyError):
        setting("max_pears")


def test_every_setting_says_its_unit_and_what_it_is_for():
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)
    assert all(row.unit and row.help for row in SETTINGS)
