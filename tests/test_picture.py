"""The measure of pictures, and what the scan says of one picture, on pictures whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from csg405.annotate.picture import Operator, PictureQuality
from csg405.annotate.scan import _stat
from csg405.schema import FrameStat, Record
from tests import items

CLIP = items.clip(start_ms=2000, n_frames=100, width=640, height=480)
NOBODY = np.zeros((0, 4), np.float32)


def stat(time_s: float, **values: float) -> FrameStat:
    facts = {"sharpness": 30.0, "luma_mean": 100.0, "luma_low": 20.0, "luma_high": 180.0, "change": 2.0, "pictures": 5,
             "repeated": 0}  # fmt: skip
    return FrameStat(video_id="file.a", time_s=time_s, **(facts | values))


def measure(*rows: Record) -> PictureQuality:
    made = Operator(items.setting("annotate.picture", items.Path()))
    (row,) = made(items.item(*rows, of=CLIP, reads=(FrameStat,)))
    assert isinstance(row, PictureQuality)
    return row


def test_medians_over_the_samples_of_the_clip_alone() -> None:
    inside = [stat(2 + i, sharpness=10.0 * (i + 1), luma_high=180 + i) for i in range(3)]
    around = [stat(1.99, sharpness=999, luma_mean=255), stat(6.0, sharpness=999, luma_mean=255)]
    row = measure(around[0], *inside, around[1])
    assert row == PictureQuality(
        clip_id=CLIP.clip_id, short_side_px=480, sharpness=20.0, luma_mean=100.0, contrast=161.0, change=2.0,
        repeated_fraction=0.0,
    )  # fmt: skip


def test_repeated_pictures_are_counted_over_all_but_the_first_sample() -> None:
    row = measure(stat(2, repeated=5), stat(2.5, repeated=1), stat(3, pictures=3, repeated=3))
    assert row.repeated_fraction == 0.5
    assert measure(stat(2, repeated=5)).repeated_fraction is None


def test_the_first_samples_change_looks_back_out_of_the_clip_and_does_not_count() -> None:
    assert measure(stat(2, change=200), stat(2.5, change=1), stat(3, change=3)).change == 2
    assert measure(stat(2, change=200)).change is None


def test_without_a_sample_all_but_the_size_is_missing() -> None:
    assert measure() == PictureQuality(
        clip_id=CLIP.clip_id, short_side_px=480, sharpness=None, luma_mean=None, contrast=None, change=None,
        repeated_fraction=None,
    )  # fmt: skip


def look(image: np.ndarray, boxes: np.ndarray = NOBODY, *, changes: list[float] | None = None) -> FrameStat:
    return _stat(image, boxes, "file.a", 1.0, changes or [])


def test_a_sample_counts_the_pictures_since_the_last_and_those_that_are_the_same() -> None:
    seen = look(np.zeros((64, 64, 3), np.uint8), changes=[0.0, 0.019, 0.021, 3.0])
    assert (seen.pictures, seen.repeated, seen.change) == (4, 2, 3.0)


def test_luma_of_pure_colours_is_that_of_rec_601() -> None:
    for colour, luma in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255)):
        assert look(np.full((90, 160, 3), colour, np.uint8)).luma_mean == pytest.approx(luma, abs=0.5)


def test_low_and_high_luma_are_percentiles() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(96, axis=0)
    row = look(ramp)
    assert (row.luma_low, row.luma_high) == (pytest.approx(0.05 * 255, abs=4), pytest.approx(0.95 * 255, abs=4))


def test_sharpness_of_stripes_is_the_laplacians_variance_by_hand() -> None:
    # Rows of 0 and 100 in turn: the Laplacian is 200 or -200 everywhere but at the edges, its variance 40,000.
    image = np.zeros((512, 512, 3), np.uint8)
    image[::2] = 100
    assert look(image).sharpness == pytest.approx(40_000, rel=0.01)


def test_sharpness_is_of_the_largest_person_and_not_of_what_is_behind() -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    image[100:400, 200:400] = 90
    box = np.array([[200, 100, 400, 400]], np.float32)
    assert look(image, box).sharpness == 0
    assert look(image).sharpness > 1000


def test_sharpness_falls_with_blur_and_stays_when_the_picture_is_larger() -> None:
    import cv2

    rng = np.random.default_rng(4)
    small = cv2.resize(rng.integers(0, 256, (128, 128), np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
    image = np.repeat(small[..., None], 3, axis=2)
    blurred = [look(cv2.GaussianBlur(image, (0, 0), sigma)).sharpness for sigma in (0.5, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] > 5 * blurred[-1]
    twice = cv2.resize(image, (512, 512), interpolation=cv2.INTER_CUBIC)
    assert look(twice).sharpness == pytest.approx(look(image).sharpness, rel=0.05)


def test_a_person_of_no_size_falls_back_to_the_whole_picture() -> None:
    image = np.random.default_rng(5).integers(0, 256, (96, 160, 3), np.uint8)
    assert look(image, np.array([[10.2, 10, 10.4, 60]], np.float32)).sharpness == look(image).sharpness
