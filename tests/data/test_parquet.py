from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clbench.data.readers.parquet import read_parquet
from clbench.schema.errors import DataError
from clbench.testing.damage import cuts, flips


@pytest.fixture
def images(pictures, encode):
    """Five pictures as the bytes of PNG files."""
    return [encode(picture) for picture in pictures(5)]


def channels_last(examples):
    return examples.images.permute(0, 2, 3, 1).numpy()


def test_pictures_come_as_bytes_with_channels_first_in_the_order_of_the_rows(
    save_parquet, pictures, images
):
    found = read_parquet(save_parquet(image=images, label=[3, 1, 2, 3, 0]))
    assert found.images.shape == (5, 3, 32, 32)
    assert np.array_equal(channels_last(found), pictures(5))
    assert found.labels.tolist() == [3, 1, 2, 3, 0]
    assert (str(found.images.dtype), str(found.labels.dtype)) == ("torch.uint8", "torch.int64")


def test_a_jpeg_is_what_pillow_makes_of_it(save_parquet, pictures, encode):
    jpegs = [encode(picture, quality=30) for picture in pictures(3)]
    found = channels_last(read_parquet(save_parquet(image=jpegs, label=[0, 1, 2])))
    assert np.array_equal(found, np.stack([np.asarray(Image.open(BytesIO(one))) for one in jpegs]))


@pytest.mark.parametrize("image", ["image", "img"])
@pytest.mark.parametrize("label", ["label", "labels", "fine_label"])
def test_columns_may_be_called_as_is_usual(save_parquet, images, image, label):
    path = save_parquet(**{"id": list("abcde"), image: images, label: [0, 1, 2, 3, 4]})
    assert read_parquet(path).labels.tolist() == [0, 1, 2, 3, 4]


def test_bytes_may_lie_in_a_struct_beside_a_path(save_parquet, images):
    plain = read_parquet(save_parquet(image=images, label=range(5)))
    structs = [{"bytes": one, "path": None} for one in images]
    found = read_parquet(save_parquet(image=structs, label=range(5)))
    assert found.images.equal(plain.images)


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.struct([("bytes", pa.large_binary())])])
def test_bytes_may_be_large_binary(save_parquet, images, kind):
    cells = [{"bytes": one} for one in images] if pa.types.is_struct(kind) else images
    assert len(read_parquet(save_parquet(image=pa.array(cells, kind), label=range(5))).images) == 5


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint64", "int64"])
def test_labels_may_be_any_integers(save_parquet, images, kind):
    path = save_parquet(image=images, label=pa.array(range(5), kind))
    assert read_parquet(path).labels.tolist() == [0, 1, 2, 3, 4]


def test_many_rows_keep_their_order(save_parquet, encode):
    grey = np.arange(2500) % 251
    images = [encode(np.full((2, 2, 3), value, np.uint8)) for value in grey]
    found = read_parquet(save_parquet(image=images, label=grey))
    assert found.labels.tolist() == grey.tolist()
    assert found.images[:, 0, 0, 0].tolist() == grey.tolist()


def test_pictures_keep_height_and_width_apart(save_parquet, pictures, encode):
    images = [encode(picture) for picture in pictures(2, size=(6, 4))]
    assert read_parquet(save_parquet(image=images, label=[0, 1])).images.shape == (2, 3, 4, 6)


def test_grey_pictures_are_made_colour_unless_one_channel_is_wanted(save_parquet, pictures, encode):
    grey = pictures(2)[..., 0]
    path = save_parquet(image=[encode(picture) for picture in grey], label=[0, 1])
    assert np.array_equal(channels_last(read_parquet(path)), np.stack([grey] * 3, axis=3))
    assert np.array_equal(channels_last(read_parquet(path, 1)), grey[..., None])


def deep(image):
    """The bytes of a 16-bit grey PNG."""
    file = BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(file, "PNG")
    return [image, file.getvalue()]


WRONG = {
    "no image": (
        lambda png: {"picture": [png], "label": [0]},
        "^mine.parquet has no one column 'image' or 'img', got picture, label$",
    ),
    "no label": (
        lambda png: {"image": [png], "class": [0]},
        "has no one column 'label' or 'labels' or 'fine_label', got image, class$",
    ),
    "no columns": (lambda _: {}, "has no one column 'image' or 'img', got nothing$"),
    "text": (
        lambda _: {"image": ["a.png"], "label": [0]},
        "column 'image' of mine.parquet must be binary, or a struct with .* bytes, got string$",
    ),
    "struct without bytes": (
        lambda _: {"img": [{"path": "a.png"}], "label": [0]},
        "column 'img' of mine.parquet must be binary, .* got struct<path: string>$",
    ),
    "struct of text": (
        lambda _: {"img": [{"bytes": "abc"}], "label": [0]},
        "column 'img' of mine.parquet must be binary, .* got struct<bytes: string>$",
    ),
    "float labels": (
        lambda png: {"image": [png], "label": [0.5]},
        "column 'label' of mine.parquet must be integer, got double$",
    ),
    "other bytes": (
        lambda png: {"image": [png, b"hello"], "label": [0, 1]},
        "^row 1 of mine.parquet holds no readable JPEG or PNG; leave the row out$",
    ),
    "cut off": (
        lambda png: {"image": [png, png[:-40]], "label": [0, 1]},
        "^row 1 of mine.parquet holds no readable JPEG or PNG",
    ),
    "no bytes": (
        lambda png: {"image": [png, png, None], "label": [0, 1, 2]},
        "^row 2 of mine.parquet holds no readable JPEG or PNG",
    ),
    "only a path": (
        lambda _: {"image": [{"bytes": None, "path": "a.png"}], "label": [0]},
        "column 'image' of mine.parquet must be binary, .* got struct<bytes: null, path: string>$",
    ),
    "no struct": (
        lambda png: {"image": [{"bytes": png}, None], "label": [0, 1]},
        "^row 1 of mine.parquet holds no readable JPEG or PNG",
    ),
    "16 bits": (
        lambda png: {"image": deep(png), "label": [0, 1]},
        "^row 1 of mine.parquet holds grey pixels of 16 bits; save them as 8 bits$",
    ),
    "no label in a row": (
        lambda png: {"image": [png, png], "label": [0, None]},
        "^label of row 1 of mine.parquet must be a class number, got None$",
    ),
    "huge label": (
        lambda png: {"image": [png], "label": pa.array([2**64 - 1], "uint64")},
        "^label of row 0 of mine.parquet must be a class number, got 18446744073709551615$",
    ),
    "empty": (
        lambda _: {"image": pa.array([], "binary"), "label": pa.array([], "int64")},
        "^mine.parquet holds no images, got 0 rows$",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_is_refused_in_one_line(save_parquet, images, case):
    columns, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        read_parquet(save_parquet(**columns(images[0])))
    assert "\n" not in str(caught.value)


def test_pictures_of_another_size_than_the_first_are_refused(save_parquet, pictures, encode):
    images = [encode(pictures(1, size=size)[0]) for size in ((8, 6), (8, 6), (6, 8))]
    message = "^images of mine.parquet must be of one size, got 8x6 in row 0 and 6x8 in row 2$"
    with pytest.raises(DataError, match=message):
        read_parquet(save_parquet(image=images, label=[0, 1, 2]))


def test_two_columns_of_one_name_are_refused(tmp_path, images):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(images)] * 2, ["image", "image"]), path)
    with pytest.raises(DataError, match="no one column 'image' or 'img', got image, image"):
        read_parquet(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent.parquet' does not exist; check the path"):
        read_parquet(tmp_path / "absent.parquet")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match=r"' is a folder; --data takes a .parquet file with images"):
        read_parquet(tmp_path)


def test_a_file_that_may_not_be_opened_says_so(save_parquet, images, monkeypatch):
    path = save_parquet(image=images, label=range(5))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may open everything
    with pytest.raises(DataError, match=r"cannot read '.*mine.parquet': Permission denied"):
        read_parquet(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1", b"PAR1\x00\x00\x00\x00PAR1"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "mine.parquet"
    path.write_bytes(content)
    message = r"mine.parquet' is cut off, damaged or no parquet file; it must hold images"
    with pytest.raises(DataError, match=message):
        read_parquet(path)


def test_a_cut_or_altered_file_gives_one_line_or_pictures(save_parquet, images):
    path = save_parquet(image=images, label=range(5))
    whole, messages = path.read_bytes(), []
    for content in (*cuts(whole, 100), *(damaged for _, damaged in flips(whole, 100))):
        path.write_bytes(content)
        try:
            assert read_parquet(path).images.shape[1] == 3
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all("mine.parquet" in message and "\n" not in message for message in messages)


def test_a_file_whose_column_names_are_damaged_is_refused(save_parquet, images):
    path = save_parquet(image=[{"bytes": one} for one in images], label=range(5))
    path.write_bytes(path.read_bytes().replace(b"bytes", b"byt\xa3s"))
    with pytest.raises(DataError, match="is cut off, damaged or no parquet file"):
        read_parquet(path)
