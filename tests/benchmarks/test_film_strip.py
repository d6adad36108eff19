import numpy as np
from PIL import Image

from benchmarks import film_strip


def test_frames_are_shown_from_the_first_to_the_last():
    frames = np.stack([np.full((5, 7, 3), shade, np.uint8) for shade in range(11)])
    picture = film_strip.strip(frames, pictures=3)
    assert picture.shape == (5, 3 * 7 + 2 * film_strip.GAP, 3)
    assert picture[0, [0, 7, 7 + film_strip.GAP, -1], 0].tolist() == [0, 255, 5, 10]


def test_a_demonstration_is_drawn(tmp_path):
    out = tmp_path / "strip.png"
    film_strip.main([str(out), "1", "env=blocks", "debug=smoke", f"data_dir={tmp_path / 'data'}"])
    with Image.open(out) as picture:
        assert picture.width > film_strip.PICTURES * picture.height
