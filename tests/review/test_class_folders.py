from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from fvm_core.data import load_dataset
from fvm_core.data.dataset import ImageDataset
from fvm_core.data.sources import EncodedImages, FileImages, RawImages
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.review.export import export, export_table, write_class_folders
from tests.data.images import encoded, picture, write
from tests.review.cases import decide, scored_run, store_at

HOSTILE = ["..", "", "/", "CON", "/etc/passwd", "../../up", "mapping.csv", ".unfinished", "a", "A", "\\", "~"]


def raw_dataset(ids: list[str], paths: list[str] | None = None) -> ImageDataset:
    pixels = np.stack([np.asarray(picture(seed, 6, 5, 1)) for seed in range(len(ids))])
    return ImageDataset("raw", ids, np.zeros(len(ids), np.int64), ("a",), RawImages(pixels), paths=paths)


def table_of(dataset: ImageDataset, labels: list[str], excluded: tuple[int, ...] = ()) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": list(dataset.ids),
            "path": list(dataset.paths or [""] * len(labels)),
            "clean_label": labels,
            "status": ["excluded" if row in excluded else "kept" for row in range(len(labels))],
        }
    )


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def mapping(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "mapping.csv", dtype=str, keep_default_na=False)


def test_files_are_copied_byte_by_byte(tmp_path):
    source = tmp_path / "photos"
    for place, seed in [("cat/1.png", 1), ("cat/sub/1.png", 2), ("dog/1.png", 3), ("dog/2.JPEG", 4)]:
        write(source / place, seed)
    (source / "dog" / "3.png").write_bytes(b"damaged, yet copied")
    dataset = load_dataset(source)
    table = table_of(dataset, ["cat", "cat", "cat", "bird", "dog"])
    out = tmp_path / "out"
    done = write_class_folders(table, dataset, out)
    assert (done.written, done.excluded, done.without_image) == (5, 0, 0)
    assert mapping(out)["file"].tolist() == [
        "cat/1.png",
        "cat/1-2.png",
        "cat/1-3.png",
        "bird/2.JPEG",
        "dog/3.png",
    ]
    for path, file in zip(dataset.paths, mapping(out)["file"], strict=True):
        assert (out / file).read_bytes() == (source / path).read_bytes()
    assert load_dataset(out).classes == ("bird", "cat", "dog")


def test_pixels_become_png_with_the_same_values(tmp_path):
    dataset = raw_dataset(["digits/0001", "x.jpg", "x.png"])
    write_class_folders(table_of(dataset, ["a"] * 3), dataset, tmp_path / "out")
    assert mapping(tmp_path / "out")["file"].tolist() == ["a/0001.png", "a/x.png", "a/x-2.png"]
    for row, name in enumerate(["0001", "x", "x-2"]):
        with Image.open(tmp_path / "out" / "a" / f"{name}.png") as image:
            assert (image.format, image.mode) == ("PNG", "L")
            np.testing.assert_array_equal(np.asarray(image), np.asarray(dataset.images.image(row)))


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("PNG", ".png"), ("JPEG", ".jpg"), ("GIF", ".gif"), ("BMP", ".bmp"), ("WEBP", ".webp"),
     ("TIFF", ".tif"), ("PPM", ".ppm"), ("JPEG2000", ".jp2"), (None, ".bin")],
)  # fmt: skip
def test_encoded_images_without_a_name_get_the_ending_of_their_content(tmp_path, kind, ending):
    data = encoded(picture(1, 32, 32), kind) if kind else b"no image"
    images = EncodedImages(pa.chunked_array([[data, None]], type=pa.binary()), "t.parquet", "s")
    dataset = ImageDataset("t", ["7", "8"], np.zeros(2, np.int64), ("a",), images, paths=["", ""])
    done = write_class_folders(table_of(dataset, ["a", "b"]), dataset, tmp_path / "out")
    assert (done.written, done.without_image) == (1, 1)
    assert mapping(tmp_path / "out")["file"].tolist() == [f"a/7{ending}", ""]
    assert (tmp_path / "out" / "a" / f"7{ending}").read_bytes() == data
    assert not (tmp_path / "out" / "b").exists()


def test_hostile_labels_and_names_stay_inside(tmp_path):
    names = [f"{label}/../../{label}" for label in HOSTILE]
    dataset = raw_dataset(names, paths=names)
    out = tmp_path / "deep" / "out"
    write_class_folders(table_of(dataset, HOSTILE), dataset, out)
    assert files_in(tmp_path) == sorted(f"deep/out/{name}" for name in files_in(out))
    written = mapping(out)
    assert written["clean_label"].tolist() == HOSTILE
    assert written["path"].tolist() == names
    folders = [Path(file).parts[0] for file in written["file"]]
    assert all(len(Path(file).parts) == 2 and (out / file).is_file() for file in written["file"])
    assert len({name.casefold() for name in folders}) == len(HOSTILE)
    assert not {"..", ".unfinished", "mapping.csv", "CON"} & set(folders)


def test_excluded_rows_are_left_out(tmp_path):
    dataset = raw_dataset(["0", "1", "2"])
    done = write_class_folders(table_of(dataset, ["a", "b", "a"], (1, 2)), dataset, tmp_path / "out")
    assert (done.written, done.excluded) == (1, 2)
    assert files_in(tmp_path / "out") == ["a/0.png", "mapping.csv"]
    assert mapping(tmp_path / "out")["file"].tolist() == ["a/0.png", "", ""]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    dataset = raw_dataset(["0"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(SaltflatError, match="not empty"):
        write_class_folders(table_of(dataset, ["a"]), dataset, tmp_path / "out")
    with pytest.raises(SaltflatError, match="can't be written"):
        write_class_folders(table_of(dataset, ["a"]), dataset, tmp_path / "out" / "mine.txt")
    assert files_in(tmp_path) == ["out/mine.txt"]


def test_nothing_is_left_behind_when_it_is_stopped(tmp_path):
    dataset = raw_dataset(["0", "1", "2"])

    def stop_at_two(done, total):
        assert total == 3
        if done == 2:
            raise Cancelled

    table = table_of(dataset, ["a"] * 3)
    with pytest.raises(Cancelled):
        write_class_folders(table, dataset, tmp_path / "out", stop_at_two)
    assert list((tmp_path / "out").iterdir()) == []
    told = []
    write_class_folders(table, dataset, tmp_path / "out", lambda *numbers: told.append(numbers))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_another_dataset_is_refused(tmp_path):
    table = table_of(raw_dataset(["0", "1"]), ["a", "a"])
    with pytest.raises(SaltflatError, match="row 2 is '9' now"):
        write_class_folders(table, raw_dataset(["0", "9"]), tmp_path / "out")
    with pytest.raises(SaltflatError, match="other samples"):
        write_class_folders(table, raw_dataset(["0"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_files_are_counted(tmp_path):
    write(tmp_path / "1.png")
    images = FileImages([str(tmp_path / "1.png"), str(tmp_path / "none.png"), ""])
    dataset = ImageDataset("f", ["1.png", "none.png", "x"], np.zeros(3, np.int64), ("a",), images)
    done = write_class_folders(table_of(dataset, ["a"] * 3), dataset, tmp_path / "out")
    assert (done.written, done.without_image) == (1, 2)


def test_one_call_opens_the_training_set_and_puts_the_audit_beside(tmp_path):
    dataset = load_dataset("digits")
    given = [dataset.classes[k] for k in dataset.given]
    run = scored_run(tmp_path / "run", given, given[::-1], ids=list(dataset.ids))
    store = store_at(tmp_path)
    decide(store, run, 3, "relabel", "new/label")
    decide(store, run, 5, "exclude")
    decide(store, run, 7, "keep")
    done = export(run, store, tmp_path / "clean", decisions_only=True)
    out = (tmp_path / "clean").resolve()
    assert done.paths == (out, out.with_name("clean.audit.csv"))
    assert (done.rows, done.changed, done.without_image) == (3, 1, 0)
    name = dataset.ids[3].rpartition("/")[2]
    with Image.open(out / "new_label" / f"{name}.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(dataset.images.image(3)))
    assert len(files_in(out)) == 3
    assert mapping(out)["id"].tolist() == export_table(run, store, decisions_only=True)["id"].tolist()
