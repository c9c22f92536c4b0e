"""Stage `prepare`: the raw data, checked, as uint8 arrays.

It needs no native extension itself. But it is the first stage of every fresh checkout, so this is where a missing one
is told in a line: what imports the extension is imported after the check.
"""

from pathlib import Path

from aae.data import save_dataset
from pipeline.cli import run_stage
from pipeline.extension import check_extension
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
        print("no labels: the accuracies of telling them from codes, and the colours by class, are left out")


if __name__ == "__main__":
    run_stage(main)
