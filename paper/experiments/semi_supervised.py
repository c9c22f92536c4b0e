"""Classification with few labels (section 5 of the paper)."""

from paper.runs import Row, Run

TITLE = "Semi-supervised classification"
SECTION = "5"
TITLES = {"semi_100": "100 labels", "semi_1000": "1,000 labels", "semi_all": "all 50,000 labels"}

ROWS_OF_ALL = (
    Row("validation_error", "wrong images of the 10,000 by which settings were chosen, per cent", digits=2),
    Row("squared_error", "squared error of the reconstructions, summed over the pixels"),
)
ROWS = (
    Row(
        "error",
        "wrong test images, per cent",
        paper="1.90 ± 0.10",
        public="3.8 (musyoku, on validation images)",
        target=3.5,
        digits=2,
        models=("semi_100",),
    ),
    Row(
        "error",
        "wrong test images, per cent",
        paper="1.60 ± 0.08 (recalled)",
        public="2.90 (conan7882, 1,280 labels)",
        target=2.5,
        digits=2,
        models=("semi_1000",),
    ),
    Row("error", "wrong test images, per cent", paper="0.85 ± 0.02", target=1.2, digits=2, models=("semi_all",)),
    *ROWS_OF_ALL,
)
NOTE = (
    "The labelled images are equally many of each class; the seed selects them. An image's class is the most probable "
    "category. No category is named after training: the labels of the training images do that."
)


def measure(run: Run) -> dict[str, float]:
    """The errors of classification, in per cent."""
    return {
        "error": run.classification_error(run.data.training.test_images, run.data.training.test_labels),
        "validation_error": run.classification_error(run.data.validation_images, run.data.validation_labels),
        "squared_error": run.squared_error(),
    }
