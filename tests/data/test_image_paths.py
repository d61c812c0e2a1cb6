import csv
import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fvm_core.data import DatasetSpec, image_paths, load_dataset, open_spec
from fvm_core.data.image_paths import ImagesNotFound, PathColumn, locate
from fvm_core.data.sources import FileImages
from fvm_core.errors import SaltflatError, UnreadableImage

from .images import write

FILES = [
    "img/cat/a.png",
    "img/cat/my b.png",
    "img/dog/c.JPG",
    "ids/a1b2.png",
    "media/upload/3/1f2e3d4c-d.png",
]


@pytest.fixture
def photos(tmp_path):
    for name in FILES:
        write(tmp_path / "photos" / name)
    return tmp_path / "photos"


def _csv(folder, texts):
    folder.mkdir(exist_ok=True)
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((text, "x") for text in texts)])
    return folder / "t.csv"


def _tsv(folder, texts):
    folder.mkdir(exist_ok=True)
    with (folder / "t.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("path", "label"), *((text, "x") for text in texts)])
    return folder / "t.tsv"


def _parquet(folder, texts):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"path": texts, "label": ["x"] * len(texts)}), folder / "t.parquet")
    return folder / "t.parquet"


def _struct(folder, texts):
    folder.mkdir(exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": None, "path": text} for text in texts], type=kind)
    pq.write_table(pa.table({"image": images, "label": ["x"] * len(texts)}), folder / "s.parquet")
    return folder / "s.parquet"


TABLES = {"csv": _csv, "tsv": _tsv, "parquet": _parquet, "struct": _struct}

SAME, PARTS, NAME, WEB = None, "found_by_last_parts", "found_by_name", "web_address"
# What is written, the file that it means below the root, and what is told of it.
WRITTEN = [
    ("img/cat/a.png", FILES[0], {SAME}),
    ("img\\cat\\a.png", FILES[0], {SAME}),
    (".\\img\\cat\\a.png", FILES[0], {SAME}),
    (" img/cat/a.png ", FILES[0], {SAME}),
    ("img/cat/my%20b.png", FILES[1], {SAME}),
    ("{root}/img/cat/a.png", FILES[0], {SAME}),
    ("file://{root}/img/cat/my%20b.png", FILES[1], {SAME}),
    ("file://localhost{root}/img/cat/a.png", FILES[0], {SAME}),
    ("FILE:{root}/img/cat/a.png", FILES[0], {SAME}),
    ("img/dog/C.jpg", FILES[2], {SAME}),
    ("img/cat/a", FILES[0], {SAME}),
    ("img\\dog\\c", FILES[2], {SAME}),
    ("ids/a1b2", FILES[3], {SAME}),
    ("/data/local-files/?d=img/cat/a.png", FILES[0], {SAME}),
    ("/data/local-files/?d=img%2Fcat%2Fmy%20b.png", FILES[1], {SAME}),
    ("http://localhost:8080/data/local-files/?d=img/cat/a.png", FILES[0], {SAME}),
    ("C:\\data\\img\\cat\\a.png", FILES[0], {PARTS}),
    ("C:/data/img/cat/a.png", FILES[0], {PARTS}),
    ("d:\\img\\cat\\a.png", FILES[0], {PARTS}),
    ("\\\\server\\share\\img\\cat\\a.png", FILES[0], {PARTS}),
    ("/home/ann/img/cat/a.png", FILES[0], {PARTS}),
    ("../old/img/cat/a.png", FILES[0], {PARTS}),
    ("file:///C:/data/img/cat/my%20b.png", FILES[1], {PARTS}),
    ("file://C:\\data\\img\\cat\\a.png", FILES[0], {PARTS}),
    ("/data/local-files/?d=C%3A%5Cdata%5Cimg%5Ccat%5Ca.png", FILES[0], {PARTS}),
    ("D:\\data\\ids\\a1b2", FILES[3], {PARTS}),
    ("a1b2", FILES[3], {NAME}),
    ("A1B2", FILES[3], {NAME}),
    ("a.png", FILES[0], {NAME}),
    ("C:\\a.png", FILES[0], {NAME}),
    ("other/a.png", FILES[0], {NAME}),
    ("/data/upload/3/1f2e3d4c-d.png", FILES[4], {NAME}),
    ("/data/upload/7/0a1b2c3d-a.png", FILES[0], {NAME}),
    ("/data/upload/7/abc-a.png", FILES[0], {NAME}),
    ("https://example.org/x/img/cat/a.png?size=2#top", FILES[0], {PARTS, WEB}),
    ("http://example.org/my%20b.png", FILES[1], {NAME, WEB}),
    ("s3://bucket/a.png", FILES[0], {NAME, WEB}),
]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(("text", "file", "told"), WRITTEN, ids=[text for text, *_ in WRITTEN])
def test_what_is_written_is_found(photos, kind, text, file, told):
    text = text.replace("{root}", str(photos))
    data = load_dataset(TABLES[kind](photos.parent / "tables", [text]), image_root=photos)
    assert [os.path.realpath(path) for path in data.images.paths] == [str(photos / file)]
    assert list(data.paths) == list(data.ids) == [text]
    assert {problem.kind for problem in data.problems} == told - {SAME}
    for problem in data.problems:
        assert text in problem.message and "Row 1" in problem.message


@pytest.mark.parametrize("text", [text for text, _, told in WRITTEN if "{root}" not in text])
def test_without_a_root_the_tables_folder_is_one(photos, text):
    file = next(file for one, file, _ in WRITTEN if one == text)
    data = load_dataset(_csv(photos, [text]))
    assert [os.path.realpath(path) for path in data.images.paths] == [str(photos / file)]


@pytest.mark.parametrize("kind", TABLES)
def test_nothing_found_says_where_the_first_three_were_looked_for(photos, kind):
    texts = [
        "C:\\x\\none.png",
        "gone",
        None if kind in ("parquet", "struct") else "",
        "http://h.org/web.png",
        "last.png",
    ]
    file = TABLES[kind](photos.parent / "tables", texts)
    with pytest.raises(ImagesNotFound) as fault:
        load_dataset(file, image_root=photos)
    text = str(fault.value)
    assert (
        f"None of the images that {file.name} names was found (4 rows). Row 1: C:\\x\\none.png, looked for at"
        in text
    )
    for part in (
        f"{photos}/x/none.png",
        f"Row 2: gone, looked for at {photos}/gone, {file.parent}/gone",
        "Row 4: http",
    ):
        assert part in text
    assert f"by name anywhere below {photos}" in text and "Row 5" not in text
    assert "are not downloaded: download the images first" in text and "--image-root" in text


def test_rows_without_any_path_are_told(tmp_path):
    with pytest.raises(SaltflatError, match=r"None of the 2 rows of t\.csv names an image file"):
        load_dataset(_csv(tmp_path, ["", ""]))


def test_single_missing_files_are_problems_of_their_rows(photos):
    data = load_dataset(_csv(photos, ["img/cat/a.png", "img/cat/none.png", ""]))
    assert data.problems == []
    for row, text in [(1, f"{photos}/img/cat/none.png doesn't exist"), (2, "Row 3 names no image")]:
        with pytest.raises(UnreadableImage, match=text):
            data.images.image(row)


@pytest.mark.parametrize(
    ("files", "texts", "words"),
    [
        (["1/a.png", "2/a.png"], ["x/a.png"], "Row 2: x/a.png may be {root}/1/a.png or {root}/2/a.png"),
        (["1/a.png", "1/a.jpg"], ["1/a"], "Row 2: 1/a may be {root}/1/a.jpg or {root}/1/a.png"),
        (["1/a.png", "1/a.jpg"], ["a"], "Row 2: a may be {root}/1/a."),
        (
            ["a.png"],
            ["C:\\cat\\a.png", "C:\\dog\\a.png"],
            "Row 2: C:\\cat\\a.png may be {root}/a.png, as may C:/dog/a.png; Row 3: C:\\dog\\a.png may be "
            "{root}/a.png, as may C:/cat/a.png",
        ),
        (["i/a.png"], ["/1/i/a.png", "/2/i/a.png"], "as may /2/i/a.png"),
        (["a.png"], ["http://h/1/a.png", "http://h/2/a.png"], "as may http://h/2/a.png"),
    ],
)
def test_what_is_not_clear_is_told_and_not_guessed(tmp_path, files, texts, words):
    for name in [*files, "there.png"]:
        write(tmp_path / name)
    data = load_dataset(_csv(tmp_path, ["there.png", *texts]))
    (problem,) = [one for one in data.problems if one.kind == "ambiguous_path"]
    assert words.format(root=tmp_path) in problem.message
    for row in range(1, len(texts) + 1):
        with pytest.raises(UnreadableImage, match="doesn't exist"):
            data.images.image(row)
    with pytest.raises(ImagesNotFound, match="may be"):
        load_dataset(_csv(tmp_path, texts))


@pytest.mark.parametrize(
    "text", ["/1/i/a.png", "C:\\i\\a.png", "a.png", "x/a.png", "http://h/a.png", "i/A.png"]
)
def test_a_file_that_a_row_names_is_not_guessed_for_another(tmp_path, text):
    write(tmp_path / "i" / "a.png")
    data = load_dataset(_csv(tmp_path, [text, "i/a.png"]))
    assert data.images.paths[1] == str(tmp_path / "i" / "a.png") != data.images.paths[0]
    message = {problem.kind: problem.message for problem in data.problems}["ambiguous_path"]
    assert f"Row 1: {text} may be {tmp_path}/i/a.png, as may i/a.png" in message
    with pytest.raises(UnreadableImage, match="doesn't exist"):
        data.images.image(0)


def test_what_is_missing_beside_others_is_not_looked_for_elsewhere(tmp_path):
    for name in ("cat/1.png", "dog/2.png"):
        write(tmp_path / name)
    data = load_dataset(_csv(tmp_path, ["cat/1.png", "cat/2.png"]))
    assert data.images.paths == [str(tmp_path / "cat" / name) for name in ("1.png", "2.png")]
    assert data.problems == []


def test_the_exact_name_wins_over_other_cases(tmp_path):
    for name in ("d/a.png", "d/A.png", "e/x.png"):
        write(tmp_path / name)
    data = load_dataset(_csv(tmp_path, ["A", "d/a", "e\\x.png"]))
    assert data.images.paths == [str(tmp_path / name) for name in ("d/A.png", "d/a.png", "e/x.png")]


def test_the_root_comes_before_the_tables_folder(photos):
    table = _csv(photos.parent / "tables", ["img/cat/a.png", "here.png"])
    write(table.parent / "img" / "cat" / "a.png")
    write(table.parent / "here.png")
    data = load_dataset(table, image_root=photos)
    assert data.images.paths == [str(photos / "img/cat/a.png"), str(table.parent / "here.png")]


def test_leftovers_and_links_back_up_are_not_walked(photos):
    for folder in ("@eaDir", ".cache", "__MACOSX"):
        write(photos / folder / "a.png")
    write(photos / "img" / "._a.png")
    (photos / "img" / "up").symlink_to(photos, target_is_directory=True)
    assert load_dataset(_csv(photos, ["a.png"])).images.paths == [str(photos / "img/cat/a.png")]


def test_the_spec_opens_from_anywhere(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    data = load_dataset(_csv(photos.parent / "tables", ["img/cat/a.png"]), image_root="photos")
    assert data.spec.image_root == str(photos)
    monkeypatch.chdir("/")
    assert open_spec(DatasetSpec(**data.spec.to_dict())).fingerprint() == data.fingerprint()


def test_a_root_that_is_none(photos):
    table = _csv(photos, ["img/cat/a.png"])
    with pytest.raises(SaltflatError, match="no folder '/no/where', which should hold the images"):
        load_dataset(table, image_root="/no/where")
    with pytest.raises(SaltflatError, match="leave out image_root="):
        load_dataset(photos / "img", image_root=photos)
    with pytest.raises(SaltflatError, match="leave out image_root="):
        load_dataset("digits", image_root=photos)


@pytest.mark.parametrize(
    "text", ["\0", "\ud800", "a" * 5000, "/" * 300, "..", ".", "~", "?", "%", "http://[", "file:", "C:", "\\"]
)
def test_texts_that_are_no_paths(tmp_path, text):
    write(tmp_path / "there.png")
    files, _ = locate([PathColumn("t", tmp_path, ["there.png", text])], None)
    assert files[0] == str(tmp_path / "there.png")
    with pytest.raises(UnreadableImage):
        FileImages(files).image(1)


@pytest.mark.parametrize("prefix", ["", "C:\\data\\", "http://h.org/", "/data/upload/1/0a1b2c3d-"])
def test_folders_are_read_once_and_not_for_every_row(tmp_path, monkeypatch, prefix):
    names = [f"{number:05d}.png" for number in range(3000)]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(names):
        (tmp_path / "ab"[number % 2] / name).touch()
    calls = []

    def counted(name, real):
        def call(*words):
            calls.append(name)
            return real(*words)

        return call

    for place, name in [(os, "scandir"), (os, "stat"), (os.path, "isfile"), (os.path, "isdir")]:
        monkeypatch.setattr(place, name, counted(name, getattr(place, name)))
    texts = [f"{prefix}{name}" for name in names]
    files, _ = locate([PathColumn("t", tmp_path, texts)], None)
    assert files == [str(tmp_path / "ab"[number % 2] / name) for number, name in enumerate(names)]
    assert len(calls) < 300


def test_the_walk_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(image_paths, "_MOST_ENTRIES", 5)
    for number in range(9):
        write(tmp_path / "deep" / f"{number}.png")
    with pytest.raises(ImagesNotFound, match="of its first 5 files"):
        load_dataset(_csv(tmp_path, ["none.png"]))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["img/{}.png", "C:\\data\\img\\{}.png", "{}"])
def test_a_million_rows(tmp_path, form):
    (tmp_path / "img").mkdir()
    for number in range(1000):
        (tmp_path / "img" / f"{number}.png").touch()
    texts = [form.format(number % 1000 if number % 7 else number) for number in range(1_000_000)]
    begun = time.monotonic()
    files, _ = locate([PathColumn("t", tmp_path, texts)], None)
    assert len(files) == 1_000_000
    assert time.monotonic() - begun < 120
