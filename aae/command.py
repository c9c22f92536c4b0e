"""The command `aae`: a trained model from the shell.

The imports at the top are light, so that `aae --help` is quick. Each command imports what else it needs.
"""

import argparse
import csv
import io
import math
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from aae.errors import InputError, told_in_one_line
from aae.extension import load_extension

if TYPE_CHECKING:
    import numpy as np

    from aae.trained import TrainedModel

MODEL = Path("results/snapshots/aae-0")
DATA = Path("data/prepared")
EXAMPLES = """examples:
  aae encode digit.png                               its code, on the screen
  aae encode images/ -o codes.csv                    a folder of images
  aae encode data/prepared/test_images.npy -o codes.npy
  aae decode --at 0.5,-1.2 -o x.png                  the image of a code
  aae sample -n 100 --seed 0 -o grid.png             new images
  aae traverse --from 0 --to 7 -o strip.png          from the mean code of class 0 to that of class 7
  aae traverse --from -2,0 --to 2,0 -o walk.gif      from code to code, as an animation
  aae export --onnx model.onnx                       for other programs
  aae info                                           how the native extension was built, and whether CUDA works

`aae COMMAND --help` describes a command. --model takes a folder of snapshots (the last one is used) or one snapshot.
"""
# A code that argparse would take for an option: a minus, then a number.
NEGATIVE = re.compile(r"-\.?\d")


def main() -> None:
    """The console command: reads the process's arguments; bad input ends it with one line and exit status 1."""
    with told_in_one_line():
        arguments = parser().parse_args(with_negative_codes(sys.argv[1:]))
        load_extension()
        arguments.run(arguments)


class Parser(argparse.ArgumentParser):
    """argparse's parser, but an error is one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def with_negative_codes(arguments: Sequence[str]) -> list[str]:
    """`--at -1,0` as `--at=-1,0`: argparse takes a code that begins with a minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--at", "--from", "--to") and NEGATIVE.match(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def parser() -> Parser:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    whole = Parser("aae", description="Use a trained model.", epilog=EXAMPLES, formatter_class=raw)
    whole.add_argument("--version", action="version", version=f"aae {own_version()}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)

    def add(run: Any, summary: str, *examples: str, model: Path | None = MODEL) -> argparse.ArgumentParser:
        epilog = "\n".join(["examples:", *(f"  {example}" for example in examples)])
        command = commands.add_parser(
            run.__name__, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=epilog,
            formatter_class=raw,
        )  # fmt: skip
        command.set_defaults(run=run)
        of_model = "a folder of snapshots (the last one is used) or one snapshot" + (f" ({model})" if model else "")
        command.add_argument("--model", type=Path, default=model, help=of_model)
        return command

    def add_label(command: argparse.ArgumentParser) -> None:
        command.add_argument("--label", metavar="CLASS", help="of all images, for a model whose decoder takes labels")

    def add_output(command: argparse.ArgumentParser, scale: int, picture: str) -> None:
        names = f"{picture}; a .gif plays the images forwards and backwards, a .npy holds the array"
        command.add_argument("-o", "--output", type=Path, required=True, help=names)
        command.add_argument(
            "--scale", type=positive, default=scale, help=f"enlarge the images by this factor ({scale})"
        )

    command = add(encode, "images to codes", "aae encode digit.png", "aae encode --invert scan-*.png -o codes.csv",
                  "aae encode data/prepared/test_images.npy -o codes.npy")  # fmt: skip
    command.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGES",
        help="image files of the model's size, folders of them, or arrays (.npy: uint8, or float in [0, 1])",
    )  # fmt: skip
    command.add_argument("-o", "--output", type=Path, help="a .csv or .npy file (default: CSV on the screen)")
    command.add_argument("--grey", action="store_true", help="turn colour into grey: 0.299 R + 0.587 G + 0.114 B")
    command.add_argument("--invert", action="store_true", help="invert the pixels: MNIST is white on black")

    command = add(
        decode, "codes to images", "aae decode --at 0.5,-1.2 -o x.png", "aae decode --at -1,0 --at 1,0 -o two.png"
    )
    command.add_argument("--at", action="append", required=True, metavar="CODE", help="e.g. 0.5,-1.2; may be repeated")
    add_label(command)
    add_output(command, 1, "a .png has the images in a row")

    command = add(sample, "new images, decoded from samples of the prior", "aae sample -n 100 --seed 0 -o grid.png")
    command.add_argument("-n", type=positive, default=100, help="number of images (100)")
    command.add_argument("--seed", type=int, default=0, help="the same seed gives the same images (0)")
    add_label(command)
    add_output(command, 2, "a .png has the images in a square")

    command = add(traverse, "images on the line between two codes", "aae traverse --from 0 --to 7 -o strip.png",
                  "aae traverse --from -2,0 --to 2,0 --steps 30 -o walk.gif")  # fmt: skip
    ends = "a code, such as 0.5,-1.2, or a class: the mean code of its training images"
    command.add_argument("--from", dest="start", required=True, metavar="CODE|CLASS", help=ends)
    command.add_argument("--to", dest="end", required=True, metavar="CODE|CLASS", help="the same")
    command.add_argument("--steps", type=positive, default=12, help="number of images, with both ends (12)")
    command.add_argument("--data", type=Path, default=DATA, help=f"what stage prepare wrote, for classes ({DATA})")
    add_output(command, 2, "a .png has the images in a row")

    command = add(export, "the model for other programs", "aae export --onnx model.onnx",
                  "aae export --part decoder --onnx decoder.onnx")  # fmt: skip
    command.add_argument("--onnx", type=Path, required=True, help="the ONNX file to write (needs aae[onnx])")
    command.add_argument(
        "--part", choices=("encoder", "decoder", "both"), default="both",
        help="images to codes, codes to images, or images to codes and reconstructions (both)",
    )  # fmt: skip

    add(info, "the version, how the native extension was built, and whether CUDA works", "aae info", model=None)
    return whole


# --- the commands -------------------------------------------------------------------------------------


def encode(arguments: argparse.Namespace) -> None:
    """Images to codes."""
    import numpy as np
    from tqdm import tqdm

    from aae.files import write_whole
    from aae.image_files import check_output, count_images, list_images, read_images

    suffix = check_output(arguments.output, ".csv", ".npy") if arguments.output else ".csv"
    model = load_model(arguments)
    paths = list_images(arguments.images)
    names: list[str] = []
    codes: list[np.ndarray] = []
    with tqdm(total=sum(map(count_images, paths)), unit="image", disable=None) as progress:
        for part, images in read_images(paths, model.image_shape, grey=arguments.grey):
            names += part
            codes.append(encode_named(model, part, images, arguments.invert))
            progress.update(len(part))
    table = np.concatenate([np.empty((0, model.code_size), np.float32), *codes])
    content = io.BytesIO()
    if suffix == ".npy":
        np.save(content, table)
    else:
        content.write(csv_of(names, table).encode())
    if arguments.output:
        write_whole(arguments.output, content.getvalue())
    else:
        sys.stdout.write(content.getvalue().decode())


def decode(arguments: argparse.Namespace) -> None:
    """Codes to images."""
    from aae.image_files import check_output, write_images

    check_output(arguments.output, ".png", ".gif", ".npy")
    model = load_model(arguments)
    codes = [parse_code(text, model, "--at") for text in arguments.at]
    write_images(
        arguments.output, model.decode(codes, label_of(arguments, model)), columns=len(codes), scale=arguments.scale
    )


def sample(arguments: argparse.Namespace) -> None:
    """New images."""
    from aae.image_files import check_output, write_images

    check_output(arguments.output, ".png", ".gif", ".npy")
    model = load_model(arguments)
    images = model.sample(arguments.n, arguments.seed, label_of(arguments, model))
    write_images(arguments.output, images, scale=arguments.scale)


def traverse(arguments: argparse.Namespace) -> None:
    """Images between two codes."""
    from aae.image_files import check_output, write_images

    check_output(arguments.output, ".png", ".gif", ".npy")
    model = load_model(arguments)
    start = code_or_class(arguments.start, model, arguments.data, "--from")
    end = code_or_class(arguments.end, model, arguments.data, "--to")
    images = model.interpolate(start, end, arguments.steps)
    write_images(arguments.output, images, columns=len(images), scale=arguments.scale)


def export(arguments: argparse.Namespace) -> None:
    """A model as ONNX."""
    from aae.files import write_whole
    from aae.image_files import check_output
    from aae.onnx_export import to_onnx

    check_output(arguments.onnx, ".onnx")
    write_whole(arguments.onnx, to_onnx(load_model(arguments), arguments.part))


def info(arguments: argparse.Namespace) -> None:
    """What is installed."""
    import aae_native
    import torch

    from aae.device import cuda_problem

    build, problem = aae_native.build_info(), cuda_problem()
    others = [isa for isa in build["available_isas"] if isa != build["isa"]]
    if build["cuda"]:
        cuda = f"yes, toolkit {build['cuda_toolkit']}, for {build['cuda_architectures']}"
    else:
        cuda = f"no ({build['cuda_reason']})"
    lines = {
        "aae": own_version(),
        "Python": sys.version.split()[0],
        "PyTorch": torch.__version__,
        "compiler": build["compiler"],
        "instruction set": f"{build['isa']} (also: {', '.join(others)})" if others else build["isa"],
        "threads": str(aae_native.get_threads()),
        "built with CUDA": cuda,
        "CUDA": f"no: {problem}" if problem else f"yes: {torch.cuda.get_device_name()}",
    }
    if arguments.model:
        lines["model"] = repr(load_model(arguments)).strip("<>")
    for name, value in lines.items():
        print(f"{name:16} {value}")


# --- helpers ------------------------------------------------------------------------------------------


def own_version() -> str:
    """The package's version."""
    try:
        return version("aae")
    except PackageNotFoundError:
        return "not installed"


def load_model(arguments: argparse.Namespace) -> "TrainedModel":
    """The model that --model names."""
    from aae.trained import load_trained

    return load_trained(arguments.model)


def label_of(arguments: argparse.Namespace, model: "TrainedModel") -> int | None:
    """The label of the class that --label names, or None without that option."""
    if arguments.label is None:
        return None
    if arguments.label not in model.class_names:
        allowed = ", ".join(model.class_names) or "none, the data had no labels"
        raise InputError(f"--label: {arguments.label}: no class of the model; allowed: {allowed}")
    return model.class_names.index(arguments.label)


def encode_named(model: "TrainedModel", names: list[str], images: "np.ndarray", invert: bool = False) -> "np.ndarray":
    """The codes of images; an error about them names the first."""
    try:
        if invert:
            images = 255 - images if images.dtype == "uint8" else 1 - images
        return model.encode(images)
    except InputError as error:
        raise InputError(f"{names[0]}: {error}") from None


def csv_of(names: list[str], codes: "np.ndarray") -> str:
    """One row per image, its name and its code, with digits that read back as the same float32."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *(f"z_{i}" for i in range(codes.shape[1]))])
    writer.writerows([name, *map(str, code)] for name, code in zip(names, codes, strict=True))
    return text.getvalue()


def code_or_class(text: str, model: "TrainedModel", data: Path, option: str) -> Any:
    """A code [code_size]: the mean code of the class `text` if there is such a class, or else the code in `text`."""
    if text in model.class_names:
        return class_mean(model, model.class_names.index(text), data)
    return parse_code(text, model, option)


def parse_code(text: str, model: "TrainedModel", option: str) -> list[float]:
    """The code in `text`: numbers with commas between."""
    try:
        code = [float(number) for number in text.split(",")]
    except ValueError:
        code = []
    if len(code) != model.code_size or not all(map(math.isfinite, code)):
        example = ",".join(["0.5", "-1.2", "0.3"][: min(model.code_size, 3)]) + (",..." if model.code_size > 3 else "")
        classes = "" if option == "--at" else f", or a class ({', '.join(model.class_names)})"
        raise InputError(
            f"{option}: {text}: needed a code of the model's size {model.code_size}, such as {example}{classes}"
        )
    return code


def class_mean(model: "TrainedModel", label: int, folder: Path) -> Any:
    """The mean code, float64 [code_size], of a class's training images, which stage `prepare` wrote to `folder`."""
    import numpy as np
    from tqdm import tqdm

    from aae.data import load_dataset

    data = load_dataset(folder)
    if data.shape != model.image_shape or data.class_names != model.class_names:
        of_data, of_model = (
            f"images of {' x '.join(map(str, shape))} in the classes {', '.join(names)}"
            for shape, names in ((data.shape, data.class_names), (model.image_shape, model.class_names))
        )
        raise InputError(f"{folder}: {of_data}; the model has {of_model}")
    rows = np.flatnonzero(data.train_labels == label)
    if not len(rows):
        raise InputError(f"{folder}: no training images of class {model.class_names[label]}")
    parts = np.array_split(rows, -(-len(rows) // 1000))
    name = f"class {model.class_names[label]}"
    return np.concatenate(
        [model.encode(data.train_images[part]) for part in tqdm(parts, name, disable=None, leave=False)]
    ).mean(axis=0, dtype=np.float64)


def positive(text: str) -> int:
    """An integer of at least 1 on the command line."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of 1 or more; found {text}")
    return number
