"""The three encoders of the paper on the joint AAE of the top pipeline, with two-dimensional codes."""

from paper.experiments.encoders import TITLES as ENCODERS
from paper.experiments.encoders import encoder_measures, rows
from paper.runs import Run

TITLE = "Encoders, two dimensions"
SECTION = "2.1"
TITLES = {name.replace("encoders", "encoders_2d"): title for name, title in ENCODERS.items()}
ROWS = rows(tuple(TITLES))
NOTE = "The joint AAE of the top pipeline, with half the epochs. The measures are those of the table above."


def measure(run: Run) -> dict[str, float]:
    """The measures of the encoders."""
    return encoder_measures(run)
