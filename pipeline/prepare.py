"""Stage `prepare`: checks the raw data and writes it as uint8 arrays.

It may be the first command in a fresh checkout, so it reports a missing native extension in one line. It therefore
imports modules that need the extension only after the check.
"""

from pipeline.extension import check_extension

from pathlib import Path

from aae.data import save_dataset
from pipeline.cli import run_stage
from pipeline.paths import DATA


def main() -> None:
    check_extension()
    from aae.readers.checks import described
    from aae.readers.read import read_dataset
    from pipeline.params import load_params

    data = load_params().data
    classes = None if data.classes == "auto" else data.classes
    dataset = read_dataset(Path(data.path), classes=classes, test_fraction=data.test_fraction, grey=data.grey)
    save_dataset(dataset, DATA)
    counts = f"{len(dataset.train_images)} training and {len(dataset.test_images)} test images"
    print(f"{counts} of {described(dataset.shape)}, {dataset.classes or 'no'} classes")
    if not dataset.classes:
        print("no labels: label accuracies and colours by class are left out")


if __name__ == "__main__":
    run_stage(main)
