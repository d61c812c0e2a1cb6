import pytest

from ui import wording


def test_numbers():
    assert wording.count(50_000, "sample") == "50,000 samples"
    assert wording.count(1, "class", "classes") == "1 class"
    assert wording.percent(412 / 50_000) == "0.8\u202f%"
    assert wording.percentile(99.97) == "99.9\u202f%"
    assert wording.percentile(float("nan")) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (0.2, "less than 1 s"), (None, "–")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.01234, "0.0123"), (10_612, "10,600"), (1.06e10, "1.06 × 10¹⁰"), (2e-7, "2.00 × 10⁻⁷")],
)
def test_values(number, text):
    assert wording.value(number) == text


def test_sizes():
    assert wording.size(640_000) == "640 KB"
    assert wording.size(1.25e9) == "1.2 GB"
    assert wording.size(12) == "12 bytes"


def test_data_neither_formats_nor_breaks_lines():
    assert wording.in_markdown("a*b*\n[x](y)") == "a\\*b\\* \\[x\\]\\(y\\)"
    assert ":smile:" not in wording.in_markdown(":smile:")
    assert wording.in_html('<b>"x"') == "&lt;b&gt;&quot;x&quot;"
    assert wording.plain(" \n ") == "(empty)"


def test_labels_that_look_alike_stay_different():
    assert wording.distinct(["a b", "a  b", "c"]) == ["a b (0)", "a b (1)", "c"]
