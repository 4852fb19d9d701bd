"""Make the README's figures and numbers: structures, and histograms of their descriptors.

The script makes a set with each of the presets "tungsten" and "tungsten-unbiased" (or reuses
existing sets), draws docs/images/*.png and prints the numbers in the README.

    python scripts/make_figures.py [--structures 256] [--folder sets]
"""

import argparse
from pathlib import Path

import numpy as np

import jentmax as jm
from jentmax.report import contact_sheet, descriptor_histograms, set_colors

SETS = {"unbiased": "tungsten-unbiased", "entropy-maximised": "tungsten"}
SHOWN = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--structures", type=int, default=256)
    parser.add_argument("--folder", type=Path, default=Path("sets"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    given.images.mkdir(parents=True, exist_ok=True)

    sets = {}
    for name, preset in SETS.items():
        path = given.folder / f"{preset}.h5"
        if not path.exists():
            jm.generate(jm.recipe(preset), structures=given.structures, output=path)
        sets[name] = jm.Dataset(path)

    # One scale for both: that of the unbiased set, as in the paper.
    features = {name: dataset.descriptors.astype(float) for name, dataset in sets.items()}
    shift, scale = features["unbiased"].mean(axis=0), features["unbiased"].std(axis=0)
    print("set                structures  S (nats)         least distance (Å)")
    for name, dataset in sets.items():
        entropy = entropies(dataset, scale)
        print(
            f"{name:18} {len(dataset):10}  {entropy.mean():.3f} +- {entropy.std():.3f}   "
            f"{dataset.least_distance.min():.3f}"
        )
    descriptor = jm.recipe().potential.descriptor
    labels = ["".join(map(str, spins)) for spins in descriptor.labels]
    scaled = {name: (values - shift) / scale for name, values in features.items()}
    unit = "distance from the unbiased mean, in standard deviations"
    descriptor_histograms(scaled, labels, unit).savefig(given.images / "descriptors.png", dpi=200)

    shown = {name: dataset[: SHOWN * 4 : 4] for name, dataset in sets.items()}
    contact_sheet(shown, set_colors(SETS)).savefig(given.images / "structures.png", dpi=130)


def entropies(dataset: jm.Dataset, scale: np.ndarray) -> np.ndarray:
    """S of each structure (Eq. 2), in nats, for descriptors over a scale."""
    result = []
    for first, last in zip(dataset.pointer[:-1], dataset.pointer[1:], strict=True):
        values = dataset.descriptors[first:last].astype(float) / scale
        distances = np.linalg.norm(values[:, None] - values[None], axis=-1)
        np.fill_diagonal(distances, np.inf)
        result.append(np.mean(np.log(len(values) * distances.min(axis=1))))
    return np.array(result)


if __name__ == "__main__":
    main()
