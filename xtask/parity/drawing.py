"""What the makers of random models share."""

import pathlib
import sys
import warnings
import zlib

import numpy as np

# another combination of settings is drawn if a library takes none of so many
TRIES = 40


class Draw:
    """Random choices of one model."""

    def __init__(self, *seed):
        self.rng = np.random.default_rng(seed)

    def pick(self, *of):
        return of[self.rng.integers(len(of))]

    def chance(self, part):
        return bool(self.rng.random() < part)

    def whole(self, least, most):
        return int(self.rng.integers(least, most + 1))

    def seed(self):
        return int(self.rng.integers(1_000_000))

    def table(self, *, rows=(60, 500), columns=(1, 9), categories=0.4, holes=0.6, wide=True):
        """Numbers of many sizes, some round, some denormal, some of few values; columns of categories; holes."""
        n, width = self.whole(*rows), self.whole(*columns)
        X = self.rng.normal(size=(n, width)) * (10.0 ** self.rng.integers(-6, 7, width) if wide else 1.0)
        kind = self.whole(0, 9)
        if kind < 2:
            X = np.round(X, self.whole(0, 2))
        elif kind == 2 and wide:
            X = self.rng.choice([-1.0, -0.0, 0.0, 1e-45, -1e-45, 1e-310, 1e-38, 1.0], size=X.shape)
        elif kind == 3:
            X = X.astype(np.float32).astype(np.float64)
        sizes = {}
        if self.chance(categories) and width > 1:
            for column in sorted(self.rng.choice(width, self.whole(1, min(3, width - 1)), replace=False).tolist()):
                sizes[column] = self.pick(2, 5, 12, 40, 300)
                X[:, column] = self.rng.integers(0, sizes[column], n)
        level = np.zeros(n)
        for column in range(width):
            z = X[:, column]
            z = z % 3 if column in sizes else z / (np.abs(z).max() + 1e-300)
            level += z * self.rng.normal()
        level += self.rng.normal(size=n) * 0.3
        level /= level.std()
        if self.chance(holes):
            X[self.rng.random(X.shape) < self.rng.random() * 0.4] = np.nan
        return X, level, sizes

    def classes(self, level, count):
        """Numbers of classes, none empty."""
        cuts = np.quantile(level, np.sort(self.rng.uniform(0.05, 0.95, count - 1)))
        return np.unique(np.searchsorted(cuts, level), return_inverse=True)[1]


class Unfit(Exception):
    """The library does not take these settings."""


def run(one, *, unfit=()):
    """`one(draw, number)` adds a case; it is called anew where it raises `Unfit` or one of `unfit`."""
    warnings.simplefilter("ignore")
    target, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    models, seed = int(sys.argv[3]), int(sys.argv[4])
    place = zlib.crc32("/".join(target.parts[-2:]).encode())
    skipped = 0
    for number in range(models):
        for attempt in range(TRIES):
            try:
                one(Draw(seed, place, number, attempt), number)
                break
            except (Unfit, *unfit) as error:
                skipped += 1
                last = error
        else:
            raise last
    print(f"{'/'.join(target.parts[-2:])}: {models} models; its library refused {skipped} other settings", file=sys.stderr)


def place():
    """The folder to write into, and the version."""
    return pathlib.Path(sys.argv[1]), sys.argv[2]
