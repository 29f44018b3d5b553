"""Images from outside: what is opened, what is refused and in which words."""

from __future__ import annotations

import io
import sys

import numpy as np
import pictures_made as made
import pytest

from burnish.core.errors import DataError, MissingExtra
from burnish.nn.examples import Examples, distinct, joined
from burnish.nn.pictures import MAX_BYTES, Picture, column

pytest.importorskip("PIL")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_three_formats_give_the_colour_they_hold(kind: str) -> None:
    pixels = Picture(made.encoded(made.square("red", seed=0), kind)).pixels(16)
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.mean((0, 1)) - made.COLOURS["red"]).max() < 15


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match="no image that can be read"):
        Picture(made.encoded(made.square("red", seed=0), kind)).check()


def test_transparent_is_white_and_sixteen_bits_keep_their_grey() -> None:
    from PIL import Image

    assert Picture(made.encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0)))).pixels(8).min() == 255
    grey = Image.fromarray(np.full((9, 9), 0x8000, np.uint16))
    assert set(Picture(made.encoded(grey)).pixels(8).ravel().tolist()) == {0x80}


def test_a_photo_is_turned_as_the_camera_was_held() -> None:
    from PIL import Image

    image = Image.new("RGB", (40, 40), "white")
    image.paste("black", (0, 0, 40, 20))  # black above
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera stood on its head
    held = io.BytesIO()
    image.save(held, "JPEG", exif=exif)
    pixels = Picture(held.getvalue()).pixels(8)
    assert pixels[:3].mean() > 240 and pixels[-3:].mean() < 15


@pytest.mark.parametrize("side", [10_000, 30_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int, tmp_path) -> None:
    file = made.bomb(tmp_path / "bomb.png", side=side)
    assert file.stat().st_size < 1000
    with pytest.raises(DataError, match=r"bomb.png: it has (too many|10,000 x 10,000) pixels") as caught:
        Picture(file, "bomb.png").check()
    assert "25 megapixels" in str(caught.value)


def test_broken_and_too_large_files_are_named(tmp_path) -> None:
    whole = made.encoded(made.square("blue", seed=1, size=64), "JPEG")
    for name, content, wanted in (
        ("cut.jpg", whole[: len(whole) // 2], "it is broken: .*truncated"),
        ("cut.png", made.encoded(made.square("blue", seed=1, size=64))[:900], "it is broken"),
        ("text.png", b"not an image", "it is no image that can be read"),
        ("empty.png", b"", "it is no image that can be read"),
        ("large.png", bytes(MAX_BYTES + 1), "it is larger than 20,000,000 bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: {wanted}"):
            Picture(tmp_path / name, name).check()


def test_a_mended_file_is_looked_at_again(tmp_path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"broken")
    picture = Picture(file, "a.png")
    with pytest.raises(DataError):
        picture.check()
    before = picture.digest()
    file.write_bytes(made.encoded(made.square("red", seed=0)))
    picture.check()
    assert picture.digest() != before


@pytest.mark.parametrize(
    "path", ["../secret.png", "images/../../secret.png", "/etc/passwd", "other/a.png", "images/out.png"]
)
def test_no_path_leaves_the_folder_of_images(path: str, tmp_path) -> None:
    base = tmp_path / "spec"
    (base / "images").mkdir(parents=True)
    (base / "other").mkdir()
    for file in (tmp_path / "secret.png", base / "other" / "a.png"):
        file.write_bytes(made.encoded(made.square("red", seed=0)))
    (base / "images" / "out.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="not in the folder of images"):
        Picture.below(base / "images", base, path)


@pytest.mark.parametrize("path", [None, 3, "", "a\0.png"])
def test_what_is_no_path_is_said(path: object, tmp_path) -> None:
    with pytest.raises(DataError, match="the path of an image is wanted"):
        Picture.below(tmp_path, tmp_path, path)


def test_a_missing_file_and_a_folder_are_said(tmp_path) -> None:
    (tmp_path / "images" / "a.png").mkdir(parents=True)
    for path in ("images/a.png", "images/none.png"):
        with pytest.raises(DataError, match=f"{path}: there is no such image"):
            Picture.below(tmp_path / "images", tmp_path, path)


def test_data_urls_are_read_and_others_are_not() -> None:
    content = made.encoded(made.square("green", seed=0))
    assert Picture.sent(made.url(content)).source == content
    for wrong in ("data:image/svg+xml;base64,AAAA", "http://127.0.0.1/a.png", "file:///etc/passwd", "images/a.png"):
        with pytest.raises(DataError, match="not a data URL"):
            Picture.sent(wrong)
    with pytest.raises(DataError, match="not base64"):
        Picture.sent("data:image/png;base64,@@@")
    with pytest.raises(DataError, match="larger than"):
        Picture.sent("data:image/png;base64," + "A" * (MAX_BYTES * 4 // 3 + 100))


def test_without_pillow_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="the extra 'vision'"):
        Picture(b"x").check()


def test_examples_carry_images_through_taking_joining_and_checksums() -> None:
    pictures = [Picture(made.encoded(made.square(one, seed=0))) for one in ("red", "blue", "red")]
    one = Examples(np.arange(6, dtype=np.int32) % 2, np.array([0, 2, 4, 6]), images=column(pictures))
    assert one.take([2, 1]).images.tolist() == [pictures[2], pictures[1]]
    assert joined([one, one]).images.tolist() == pictures * 2
    rows, inverse = distinct(one)  # the same words: what the image shows decides
    assert rows.tolist() == [0, 1] and inverse.tolist() == [0, 1, 0]
    other = Examples(one.tokens, one.offsets, images=column(pictures[::-1][:2] + pictures[1:2]))
    again = Examples(one.tokens, one.offsets, images=column([Picture(p.source) for p in pictures]))
    assert one.digest() == again.digest() != other.digest()
