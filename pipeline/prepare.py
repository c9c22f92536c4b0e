"""Stage `prepare`: the raw IDX files, checked, as uint8 arrays.

It needs no native extension itself. But it is the first stage of every fresh checkout, so this is where a missing one
is told in a line: what imports the extension is imported after the check.
"""

from pathlib import Path

from aae.data import save_dataset
from aae.idx import read_idx_folder
from pipeline.cli import run_stage
from pipeline.extension import check_extension
from pipeline.paths import DATA


def main() -> None:
    check_extension()
    from pipeline.params import load_params

    data = load_params().data
    dataset = read_idx_folder(Path(data.path), data.classes)
    save_dataset(dataset, DATA)
    height, width, _ = dataset.shape
    print(f"{len(dataset.train_images)} training and {len(dataset.test_images)} test images of {height} x {width}")


if __name__ == "__main__":
    run_stage(main)
