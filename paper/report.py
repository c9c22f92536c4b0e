"""Stage `report`: all measures of all runs beside the figures of the paper, as `results.md` and as a page."""

from pipeline.extension import check_extension

import base64
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aae.files import write_together
from aae.markdown import escaped
from paper.cli import run_paper_stage
from paper.controls import CONTROLS
from paper.experiment import EXPERIMENTS, module_of
from paper.many_samples import MANY_SAMPLES
from paper.measure import MEASURES
from paper.params import load_experiment
from paper.runs import Row, title_of
from pipeline.params import Params
from pipeline.paths import FIGURES, TIMING, run_name
from pipeline.tables import read, read_json

TEMPLATES = Path(__file__).parent / "page"
MARKDOWN = Path("results.md")
PAGE = Path("report/index.html")


@dataclass(frozen=True)
class Line:
    """A line of an experiment's table: a measure of a model over its seeds."""

    row: Row
    model: str  # its title
    values: list[float]  # one per seed

    @property
    def ours(self) -> str:
        """Mean ± standard deviation (divisor n - 1) over the seeds."""
        digits = self.row.digits
        text = f"{statistics.mean(self.values):.{digits}f}"
        return text if len(self.values) < 2 else f"{text} ± {statistics.stdev(self.values):.{digits}f}"

    @property
    def each(self) -> str:
        return ", ".join(f"{value:.{self.row.digits}f}" for value in self.values)

    @property
    def verdict(self) -> str:
        """Whether the mean reaches the target."""
        if self.row.target is None:
            return ""
        mean = statistics.mean(self.values)
        met = mean >= self.row.target if self.row.at_least else mean <= self.row.target
        return f"{'≥' if self.row.at_least else '≤'} {self.row.target:g}: {'met' if met else 'missed'}"


@dataclass(frozen=True)
class Picture:
    """A picture of a run: its path, and its content for the page."""

    link: str
    data: str  # a data URL


@dataclass(frozen=True)
class Section:
    """An experiment in the report."""

    name: str
    title: str
    paper_section: str
    note: str
    lines: list[Line]
    seeds: list[int]
    training: dict[str, Any]
    cost: list[tuple[str, str]]  # model, time of a training
    pictures: dict[str, Picture]  # title -> the picture of the first seed

    @property
    def compared(self) -> bool:
        """Whether there are figures of others."""
        return any(line.row.paper or line.row.public for line in self.lines)


def main() -> None:
    check_extension()
    sections = [section_of(name, load_experiment(name)) for name in EXPERIMENTS]
    found = {name: render(name, sections) for name in ("paper.md.j2", "index.html.j2")}
    write_together({MARKDOWN: found["paper.md.j2"].encode(), PAGE: found["index.html.j2"].encode()})


def section_of(name: str, params: Params) -> Section:
    """The numbers of experiment `name`."""
    module = module_of(name)
    titles = {recipe.name: title_of(recipe, module.TITLES) for recipe in params.recipes}
    keys = [row.measure for row in module.ROWS]
    measures = {
        model: [read_json(MEASURES / f"{run_name(model, seed)}.json", keys) for seed in params.seeds]
        for model in params.models
    }
    lines = [
        Line(row, titles[model], [each[row.measure] for each in measures[model]])
        for row in module.ROWS
        for model in params.models
        if not row.models or model in row.models
    ]
    for row in getattr(module, "FIRST_RUN_ROWS", ()):
        many = read_json(MANY_SAMPLES, ["many_samples", row.measure])
        titled = replace(row, title=row.title.format(**many))
        lines.append(Line(titled, titles[params.models[0]], [many[row.measure]]))
    for measure, title in getattr(module, "CONTROLS", {}).items():
        lines.append(Line(Row(measure, title), "no model", [read_json(CONTROLS, [measure])[measure]]))
    training = {
        "epochs": params.epochs,
        "images in a minibatch": params.batch_size,
        "dimensions of the code": params.code_size,
    }
    cost = [(titles[model], cost_of(model, params.seeds)) for model in params.models]
    pictures = {
        titles[model]: picture_of(run_name(model, params.seeds[0]))
        for model in params.models
        if hasattr(module, "picture")
    }
    return Section(name, module.TITLE, module.SECTION, module.NOTE, lines, params.seeds, training, cost, pictures)


def picture_of(run: str) -> Picture:
    """The picture that stage `measure` drew of `run`."""
    path = FIGURES / f"{run}.png"
    return Picture(path.as_posix(), f"data:image/png;base64,{base64.b64encode(read(path)).decode()}")


def cost_of(model: str, seeds: list[int]) -> str:
    """The mean time of a training, and where it ran."""
    timings = [read_json(TIMING / f"{run_name(model, seed)}.json", ["seconds", "device"]) for seed in seeds]
    minutes = statistics.mean(timing["seconds"] for timing in timings) / 60
    places = sorted({f"{timing['device']}, {timing['threads']} threads" for timing in timings})
    return f"{minutes:.0f} min on {'; '.join(places)}"


def render(template: str, sections: list[Section]) -> str:
    """The text of a template."""
    html = template.endswith(".html.j2")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=None if html else escaped,
    )
    return environment.get_template(template).render(sections=sections)


if __name__ == "__main__":
    run_paper_stage(main)
