"""Uploads as people have them, in Chromium: each ends in a run or in one clear sentence."""

import io
import zipfile

import pytest

from fvm_core.data import load_dataset
from tests.ui.browser import READY

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with 60 pictures and their labels, and what a table says of them."""
    folder = tmp_path_factory.mktemp("photos")
    data = load_dataset("digits", limit=60, noise=0)
    for row in range(60):
        data.images.image(row).save(folder / f"{row}.png")
    return folder, [data.classes[k] for k in data.given]


def upload(page, name: str, content: bytes) -> None:
    chooser = page.locator(".st-key-train-file input[type=file]")
    chooser.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})


def asked(place, person):
    page = person().new_page()
    page.goto(
        f"{place.address}/data?train-kind=Upload&val-kind=Digits+demo&steps=2&epochs=1&saved=1&map=false"
    )
    page.wait_for_selector(READY, timeout=60_000)
    page.locator(".st-key-train-file input[type=file]").wait_for(state="attached", timeout=60_000)
    return page


def starts(page, name: str) -> None:
    """The images are shown, and the run begins."""
    page.get_by_text("60 samples, 10 classes").wait_for(timeout=60_000)
    page.locator(".st-key-run-name input").fill(name)
    page.keyboard.press("Enter")
    button = page.locator(".st-key-run-it button:enabled")
    button.wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    button.click()
    page.wait_for_url(f"**/run?run={name}*", timeout=60_000)
    page.get_by_text("Finished in").wait_for(timeout=120_000)


def table(labels, path="{}.png", mark=","):
    lines = [f"file{mark}label", *(f"{path.format(row)}{mark}{label}" for row, label in enumerate(labels))]
    return "\n".join(lines).encode()


def test_a_table_with_relative_paths_asks_for_the_folder(place, person, digits):
    folder, labels = digits
    page = asked(place, person)
    upload(page, "labels.csv", table(labels))
    page.get_by_text("Folder of the images").first.wait_for(timeout=60_000)
    page.get_by_text("0.png").first.wait_for(timeout=30_000)  # the error says what was looked for
    page.locator(".st-key-train-root input").fill(str(folder))
    page.keyboard.press("Enter")
    starts(page, "relative")


def test_a_table_with_semicolons_offers_its_columns(place, person, digits):
    folder, labels = digits
    page = asked(place, person)
    upload(page, "labels.csv", table(labels, str(folder / "{}.png"), ";"))
    starts(page, "semicolons")


def test_a_zip_of_windows_with_its_table(place, person, digits):
    folder, labels = digits
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("shop\\labels.csv", table(labels, "pictures\\{}.png"))
        for row in range(60):
            archive.writestr(f"shop\\pictures\\{row}.png", (folder / f"{row}.png").read_bytes())
        archive.writestr("shop\\desktop.ini", b"")
    page = asked(place, person)
    upload(page, "shop.zip", file.getvalue())
    page.get_by_text("1 file of the zip was left out").wait_for(timeout=60_000)
    starts(page, "windows")


def test_a_locked_zip_is_told_in_one_sentence(place, person):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cat/1.png", b"1")
    data = bytearray(file.getvalue())
    for mark, shift in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + shift] |= 1
    page = asked(place, person)
    upload(page, "locked.zip", bytes(data))
    page.get_by_text("it has a password").wait_for(timeout=60_000)
    assert page.locator("[data-testid=stException]").count() == 0
