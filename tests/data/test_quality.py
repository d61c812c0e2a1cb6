"""Pictures that show little, are there twice, or are unlike the others."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from fvm_core.data import UNKNOWN, ImageDataset, load_dataset
from fvm_core.data.conversion_choice import with_conversion
from fvm_core.data.problems import find_problems
from fvm_core.data.sources import RawImages
from fvm_core.data.thumbnails import Thumbnails

from .images import encoded, encoded_dataset, picture
from .test_near_duplicates import smooth


def dataset(images, labels=None, kind="PNG"):
    """Pictures as files, named p0, p1, …; labels alternate."""
    data = encoded_dataset([image if isinstance(image, bytes) else encoded(image, kind) for image in images])
    data.ids = [f"p{row}" for row in range(len(images))]
    if labels is not None:
        data.given = np.array(labels)
    return data


def kinds(data, val=None):
    return {problem.kind: problem for problem in find_problems(data, val)}


ORDINARY = [picture(seed, 64, 48) for seed in range(16)]


def test_ordinary_pictures_have_no_problem():
    assert kinds(dataset(ORDINARY)) == {}
    assert kinds(load_dataset("digits", noise=0)) == {}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("blank_image", lambda image: Image.new("RGB", image.size, (90, 120, 30))),
        ("blank_image", lambda image: ImageEnhance.Contrast(image).enhance(0.02)),
        ("low_contrast", lambda image: ImageEnhance.Contrast(image).enhance(0.1)),
        ("dark_image", lambda image: ImageEnhance.Brightness(image).enhance(0.2)),
        ("bright_image", lambda image: Image.blend(image, Image.new("RGB", image.size, "white"), 0.85)),
        ("blurred_image", lambda image: picture(3, 6, 5).resize(image.size, Image.Resampling.BICUBIC)),
        ("odd_size", lambda image: image.resize((640, 480), Image.Resampling.NEAREST)),
        ("odd_size", lambda image: image.resize((12, 9), Image.Resampling.NEAREST)),
        ("odd_shape", lambda image: image.resize((180, 20))),
    ],
)
def test_what_is_unlike_the_others_is_named_once(kind, change):
    # Coarse grain, which stays when a picture is enlarged.
    images = [picture(seed, 8, 6).resize((64, 48), Image.Resampling.NEAREST) for seed in range(16)]
    images[5] = change(images[5])
    found = kinds(dataset(images))
    assert list(found) == [kind]
    assert found[kind].rows == (5,)
    assert found[kind].message.startswith("1 training image ")
    assert found[kind].severity == "warning"


def test_sizes_are_named():
    images = [*ORDINARY, ORDINARY[0].resize((640, 480)), ORDINARY[1].resize((600, 500))]
    problem = kinds(dataset(images))["odd_size"]
    assert problem.rows == (16, 17)
    assert problem.notes == ("640 × 480 px", "600 × 500 px")
    assert "such as 640 × 480 px where 64 × 48 px is usual" in problem.message


def test_sizes_that_all_differ_are_not_odd():
    images = [picture(seed, int(20 * 1.4**seed), 40) for seed in range(12)]
    assert not {"odd_size", "odd_shape"} & set(kinds(dataset(images)))


def test_a_set_with_almost_no_spread_says_what_to_set():
    pale = [ImageEnhance.Contrast(image).enhance(0.05) for image in ORDINARY]
    (problem,) = kinds(dataset(pale)).values()
    assert problem.kind == "low_contrast"
    assert problem.message.startswith("16 of 16 training images have almost no contrast")
    assert "--window LOW HIGH" in problem.message
    assert len(problem.rows) == 16


def test_deep_pictures_in_their_window_have_contrast_and_without_one_none():
    array = np.random.default_rng(0).integers(7000, 7400, (16, 40, 40)).astype(np.uint16)
    data = ImageDataset("t", [str(i) for i in range(16)], np.arange(16) % 2, ("a", "b"), RawImages(array))
    assert list(kinds(data)) == ["low_contrast"]
    assert list(kinds(with_conversion(data)[0])) == ["window"]


def test_drawings_on_transparent_ground():
    def drawing(seed, light):
        shape = picture(seed, 6, 6, 1).point(lambda value: 255 * (value > 128)).resize((48, 48))
        rgba = Image.new("RGBA", (48, 48), (light, light, light, 0))
        rgba.putalpha(shape)
        return rgba

    white = dataset([drawing(seed, 255) for seed in range(16)])
    assert list(kinds(white)) == ["low_contrast"]
    assert list(kinds(with_conversion(white)[0])) == ["background"]
    black = dataset([drawing(seed, 0) for seed in range(16)])
    assert kinds(with_conversion(black)[0]) == {}


def test_copies_with_the_same_label():
    images = [*ORDINARY, ORDINARY[2], ORDINARY[2], ORDINARY[4]]
    (problem,) = kinds(dataset(images, [0, 1] * 8 + [0, 0, 0])).values()
    assert problem.kind == "exact_duplicate"
    assert problem.rows == (2, 16, 17, 4, 18)
    assert problem.notes == (
        *("same image as p16, a", "same image as p2, a", "same image as p2, a"),
        *("same image as p18, a", "same image as p4, a"),
    )


def test_near_copies_with_the_same_and_with_another_label():
    images = [smooth(seed) for seed in range(14)]
    again = [Image.open(io.BytesIO(encoded(images[row].resize((150, 150)), "JPEG"))) for row in (1, 4, 6)]
    found = kinds(dataset([*images, *again, images[3]], [0, 1] * 7 + [1, 1, 1, 1]))
    assert set(found) == {"near_duplicate", "near_conflicting_labels", "exact_duplicate"}
    assert found["near_duplicate"].rows == (1, 14)
    assert found["near_conflicting_labels"].rows == (4, 15, 6, 16)
    assert found["near_conflicting_labels"].notes[1] == "looks like p4, a"
    assert "p4 (a) and p15 (b); p6 (a) and p16 (b)." in found["near_conflicting_labels"].message
    assert found["exact_duplicate"].rows == (3, 17)  # and not called a near one too


def test_rows_without_a_label_contradict_nobody():
    images = [*ORDINARY, ORDINARY[0]]
    found = kinds(dataset(images, [0, 1] * 8 + [UNKNOWN]))
    assert found["exact_duplicate"].rows == (0, 16)
    assert "conflicting_labels" not in found


def test_a_training_image_that_the_validation_set_labels_otherwise():
    train = dataset([smooth(seed) for seed in range(14)])
    val = dataset([smooth(0), smooth(1), smooth(2).resize((90, 90)), smooth(20)], [0, 0, 1, 1])
    found = kinds(train, val)
    assert found["shared_image"].rows == (0,)
    conflict = found["shared_image_conflict"]
    assert conflict.rows == (1,)
    assert "p1 is b in the training set and a in the validation set. Which is right?" in conflict.message
    assert found["near_shared_image"].rows == (2,)
    assert found["near_shared_image"].notes == ("validation set: p2, b",)


def test_files_without_their_last_bytes_are_used_and_told(tmp_path):
    from .test_decode import photograph

    whole = encoded(photograph(), "JPEG")
    data = dataset([*ORDINARY, whole[:-30], whole[: len(whole) // 2]])
    found = kinds(data)
    assert found["cut_off_image"].rows == (16,)
    assert found["cut_off_image"].severity == "notice"
    assert (
        "1 file lacks its last bytes; what is there is used: p16 (less than 1 % of the rows"
        in found["cut_off_image"].message
    )
    assert found["unreadable_image"].rows == (17,)
    thumbnails = Thumbnails.build(data, tmp_path)
    assert thumbnails.encoded(16)[:2] == b"\xff\xd8"
    assert "truncated" in thumbnails.reasons[17]
    assert Thumbnails(tmp_path).reasons == thumbnails.reasons


def test_thumbnails_of_earlier_versions_know_less(tmp_path):
    data = dataset([*ORDINARY, ORDINARY[0], Image.new("RGB", (64, 48))], [0, 1] * 8 + [0, 0])
    thumbnails = Thumbnails.build(data, tmp_path)
    assert [one.kind for one in find_problems(data, train_thumbnails=thumbnails)] == [
        "exact_duplicate",
        "blank_image",
    ]
    for name in ("measures.npy", "reasons.json"):
        (tmp_path / name).unlink()
    old = Thumbnails(tmp_path)
    assert old.measures is None
    assert [one.kind for one in find_problems(data, train_thumbnails=old)] == ["exact_duplicate"]


def test_blurred_ones_are_told_from_smooth_sets():
    soft = [smooth(seed, 64).filter(ImageFilter.GaussianBlur(2)) for seed in range(16)]
    assert kinds(dataset(soft)) == {}


def test_bad_rows_of_every_kind_stop_nothing(tmp_path):
    from fvm_core.data.sources import FileImages

    paths = []
    for row, image in enumerate(ORDINARY):
        image.save(tmp_path / f"{row}.png")
        paths.append(f"{tmp_path}/{row}.png")
    (tmp_path / "folder.png").mkdir()
    bad = [
        "",
        f"{tmp_path}/a\0b.png",
        f"{tmp_path}/{'n' * 400}.png",
        f"{tmp_path}/folder.png",
        f"{tmp_path}/\udcff.png",
    ]
    (tmp_path / "note.png").write_text("no image at all")
    bad.append(f"{tmp_path}/note.png")
    data = dataset(ORDINARY)
    data = ImageDataset(
        "t", [f"p{i}" for i in range(22)], np.arange(22) % 2, ("a", "b"), FileImages([*paths, *bad])
    )
    (problem,) = find_problems(data)
    assert problem.kind == "unreadable_image"
    assert problem.rows == tuple(range(16, 22))
    reasons = (
        "names no image file",
        "no file can be named so",
        "File name too long",
        "is a folder",
        "doesn't exist",
        "isn't an image",
    )
    for note, reason in zip(problem.notes, reasons, strict=True):
        assert reason in note
    assert problem.message.startswith(
        "6 training images can't be read and get no score. You can go on without. Row 17 (p16): Row 17"
    )
    assert problem.message.count(str(tmp_path)) == 2  # the second and the third; a long list helps nobody
    assert Thumbnails.build(data, tmp_path / "thumbnails").reasons[20].count("udcff") == 1
