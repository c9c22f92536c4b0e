"""Style apart from the label: a decoder that takes the label beside the code (section 4 of the paper)."""

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from aae.distances import sliced_wasserstein
from aae.models import to_inputs
from aae.ops import Stream, sample_prior
from aae.targets import build_target
from paper.pictures import image_table
from paper.runs import Row, Run, title_of

TITLE = "Style apart from the label"
SECTION = "4"
TITLES = {
    "supervised_blind": "as in the paper: the discriminator sees codes alone",
    "supervised_labels": "the discriminator also sees the labels",
}
PROJECTIONS = 128
PROBE_WIDTHS, PROBE_EPOCHS = (256, 256), 20

ROWS = (
    Row("probe_accuracy", "digits that a probe reads from the test codes, per cent; 10 by guessing", target=12.0),
    Row("mean_probe_accuracy", "… the same from the means of q(z given x)"),
    Row("sliced_wasserstein", "sliced Wasserstein distance of a class's test codes from the prior", digits=3),
    Row("sliced_wasserstein_floor", "… of as many samples of the prior", digits=3),
    Row("squared_error", "squared error of the reconstructions, summed over the pixels", digits=2),
)
NOTE = (
    "A code is a sample of q(z given x), which is what the decoder takes and the discriminator sees in training. Its "
    "mean tells more of the label, however little the mean varies. The probe is the better of a logistic regression "
    "and a network of two layers of 256 units. Both learn from the codes of the training images and their labels; the "
    "network keeps the epoch that is best on the held-out images. The distance is the mean over the classes. The paper "
    "shows a picture and gives no figure. Ours show a test image of each class, and its code decoded with each of the "
    "ten labels."
)


def measure(run: Run) -> dict[str, float]:
    """How much the codes of the test images tell of their labels, and how well they reconstruct with them.

    Codes are samples of q(z|x); a deterministic encoder has a single one for each image.
    """
    data = run.data
    labels = data.training.test_labels
    assert labels is not None
    images = data.training.train_images, data.validation_images, data.training.test_images
    sampled = [run.sampled_codes(to_inputs(each), draw) for draw, each in enumerate(images)]
    codes = sampled[-1].double().numpy()
    of_classes = [codes[labels == label] for label in np.unique(labels)]
    distances, floors = zip(*(match(run, each, step) for step, each in enumerate(of_classes)), strict=True)
    of_means = probes(run, *(run.model.encode(each).astype(np.float64) for each in images))
    return probes(run, *(each.double().numpy() for each in sampled)) | {
        "mean_probe_accuracy": of_means["probe_accuracy"],
        "sliced_wasserstein": float(np.mean(distances)),
        "sliced_wasserstein_floor": float(np.mean(floors)),
        "squared_error": run.squared_error(sampled[-1]),
    }


def match(run: Run, codes: np.ndarray, step: int) -> tuple[float, float]:
    """The distance from the prior of a class's `codes` [n, d], and of n samples of the prior."""
    prior, n = run.model.prior, len(codes)
    target = build_target(prior, n, cells=2, projections=PROJECTIONS)
    samples = sample_prior(prior, n, seed=run.seed, step=step, stream=Stream.EVALUATION).double().numpy()
    return sliced_wasserstein(codes, target)[0], sliced_wasserstein(samples, target)[0]


def probes(run: Run, train: np.ndarray, held_out: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """The accuracy, in per cent, of the two probes on the codes `test` [n, d], and of the better one."""
    data = run.data
    labels, held_out_labels, test_labels = (
        data.training.train_labels,
        data.validation_labels,
        data.training.test_labels,
    )
    linear = LogisticRegression(max_iter=1000).fit(train, labels)
    network = MLPClassifier(PROBE_WIDTHS, random_state=0)
    epochs = []
    for _ in range(PROBE_EPOCHS):
        network.partial_fit(train, labels, classes=np.arange(data.training.classes))
        epochs.append((network.score(held_out, held_out_labels), network.score(test, test_labels)))
    found = {"linear": 100 * float(linear.score(test, test_labels)), "network": 100 * float(max(epochs)[1])}
    return {"probe_accuracy": max(found.values())} | {f"{name}_accuracy": value for name, value in found.items()}


def picture(run: Run) -> Image.Image:
    """A test image of each class, and its code decoded with each label."""
    data = run.data.training
    assert data.test_labels is not None
    _, firsts = np.unique(data.test_labels, return_index=True)
    images, classes = data.test_images[firsts], data.classes
    codes = run.model.encode(images).repeat(classes, axis=0)
    decoded = run.model.decode(codes, np.tile(np.arange(classes), len(images)))
    originals = to_inputs(images).numpy().reshape(-1, 1, *decoded.shape[1:])
    return image_table(
        np.concatenate([originals, decoded.reshape(len(images), classes, *decoded.shape[1:])], axis=1),
        ["image", *data.class_names],
        title=f"Style against label: {title_of(run.recipe, TITLES)}",
        subtitle="left: a test image of each class; then its code, decoded with each label",
        epoch=run.epoch,
    )
