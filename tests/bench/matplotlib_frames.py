"""An overlay as a notebook draws it. Usage: matplotlib_frames.py PHOTOGRAPH WIDTH HEIGHT FRAMES
Prints the milliseconds of each frame, after one that is not counted."""
import io
import sys
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

width, height, frames = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
photograph = plt.imread(sys.argv[1])
mirrored = np.pad(photograph, ((0, max(height - photograph.shape[0], 0)), (0, max(width - photograph.shape[1], 0)), (0, 0)), "symmetric")
picture = np.ascontiguousarray(mirrored[:height, :width])
values = np.random.default_rng(1).random((24, 24))

for frame in range(frames + 1):
    begun = time.perf_counter()
    figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(picture, extent=(0, width, height, 0))
    axes.imshow(values, extent=(0, width, height, 0), cmap="turbo", alpha=0.5, interpolation="bilinear")
    figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)
    if frame > 0:
        print((time.perf_counter() - begun) * 1e3)
