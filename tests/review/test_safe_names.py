import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fvm_core.review.safe_names import UniqueNames, safe_name, unique_folders
from tests.review.cases import AWKWARD


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cat", "cat"),
        ("שלום 😀", "שלום 😀"),
        ("", "_"),
        (".", "_"),
        ("..", "__"),
        ("/", "_"),
        ("../../etc", "_._.._etc"),
        ("a/b\\c", "a_b_c"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console", "console"),
        ("C:", "C_"),
        ("end. ", "end__"),
        (".hidden", "_hidden"),
        ("a\nb\x00", "a_b_"),
        ("x\udcff", "x_"),
    ],
)
def test_examples(text, name):
    assert safe_name(text) == name


@settings(deadline=None)
@given(st.text(max_size=300) | st.sampled_from(AWKWARD))
def test_every_text_becomes_one_part_of_a_path(text):
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 121
    assert not set(name) & set('<>:"/\\|?*\0\r\n')
    assert name[0] not in ". "
    assert name[-1] not in ". "
    assert safe_name(name) == name


def test_names_that_some_file_system_takes_for_the_same_get_numbers():
    names = UniqueNames()
    taken = [names.take(stem, ".png") for stem in ["a", "A", "a-2", "a", "b", "e\u0301", "\u00e9"]]
    assert taken == ["a.png", "A-2.png", "a-2-2.png", "a-3.png", "b.png", "e\u0301.png", "\u00e9-2.png"]


@settings(deadline=None)
@given(st.lists(st.text(max_size=4) | st.sampled_from(AWKWARD), max_size=30))
def test_different_labels_never_share_a_folder(labels):
    folders = unique_folders(labels, taken=["mapping.csv"])
    assert set(folders) == set(labels)
    lower = [name.casefold() for name in folders.values()]
    assert len(set(lower)) == len(lower)
    assert "mapping.csv" not in lower


def test_labels_that_are_safe_keep_their_name_whatever_comes_first():
    assert unique_folders(["a/b", "a_b", "a:b"]) == {"a/b": "a_b-2", "a_b": "a_b", "a:b": "a_b-3"}
