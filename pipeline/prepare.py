"""Stage `prepare`: the raw IDX files, checked, as uint8 arrays.

It needs no native extension. But it is the first stage of every fresh checkout, and the later ones import the
extension, so this is where a missing one can be told in a line.
"""

from pathlib import Path

from aae.data import save_dataset
from aae.idx import read_idx_folder
from pipeline.cli import run_stage
from pipeline.extension import check_extension
from pipeline.params import load_params
from pipeline.paths import DATA


def main() -> None:
    data = load_params().data
    check_extension()
    dataset = read_idx_folder(Path(data.path), data.classes)
    save_dataset(dataset, DATA)
    height, width = dataset.train_images.shape[1:]
    print(f"{len(dataset.train_images)} training and {len(dataset.test_images)} test images of {height} x {width}")


if __name__ == "__main__":
    run_stage(main)
