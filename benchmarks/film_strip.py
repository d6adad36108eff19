"""A film strip of one of an env's demonstrations: ``python -m benchmarks.film_strip OUT.png env=kitchen [TRAJECTORY]``.

The words after the picture and the trajectory's number (0 by default) are those of ``data generate``.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lightning_skills import config
from lightning_skills.data.demonstrations import demonstrations
from lightning_skills.plugins import resolve

PICTURES = 6
GAP = 4
"""Pixels between pictures."""


def strip(frames: np.ndarray, pictures: int = PICTURES) -> np.ndarray:
    """Some of the frames ``[F, height, width, 3]`` uint8, evenly over their time, side by side with white between."""
    shown = frames[np.linspace(0, len(frames) - 1, pictures).round().astype(int)]
    spaced = np.pad(shown, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate(list(spaced), axis=1)[:, :-GAP]


def main(words: Sequence[str]) -> None:
    """Draw the strip."""
    out, *rest = words
    number = int(rest.pop(0)) if rest and rest[0].isdigit() else 0
    env, options, data_dir = config.load_env(rest)
    dataset = demonstrations(env, options, data_dir)
    rows = slice(dataset.starts[number], dataset.starts[number] + dataset.lengths[number])
    frames = resolve(env.make)(options, [0]).film(np.asarray(dataset.steps["observation"][rows]))
    if frames is None:
        sys.exit(f"env {env.name!r} cannot film its states")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(strip(frames)).save(out, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
