"""File names for any vector name, and an archive whose program finds its vector."""

import io
import zipfile

import pytest

from sas_core.vectors.export import bundle, file_stem, json_name, program_name
from sas_core.vectors.schema import dump_vector, parse_vector


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("the sea", "the-sea"),
        ("../../etc/passwd", "etc-passwd"),
        ("caf\u00e9 \u2192 th\u00e9", "cafe-the"),
        ("\u6d77", "vector"),
        ("...", "vector"),
        ("a" * 80, "a" * 60),
        ('x"; rm -rf', "x-rm-rf"),
    ],
)
def test_any_name_becomes_a_plain_file_name(name, stem):
    assert file_stem(name) == stem


def test_the_names_of_vector_and_program_come_from_the_vector(make_vector):
    assert (json_name(make_vector()), program_name(make_vector())) == ("the-sea.json", "steer_the_sea.py")


def test_the_archive_holds_both_files_and_the_vector_reads_back(make_vector):
    vector = make_vector()
    packed = zipfile.ZipFile(io.BytesIO(bundle(vector, "print('caf\u00e9')\n")))
    assert packed.namelist() == ["the-sea.json", "steer_the_sea.py"]
    assert parse_vector(packed.read("the-sea.json")) == vector
    assert packed.read("steer_the_sea.py").decode() == "print('caf\u00e9')\n"


def test_the_same_vector_gives_the_same_bytes(make_vector):
    assert bundle(make_vector(), "x") == bundle(make_vector(), "x")
    assert dump_vector(make_vector()).encode() not in bundle(make_vector(), "x"), "it is compressed"
