"""The experiments. Each module has a title, its measures of a run, and what the paper and others report.

- `TITLE`: the experiment's name in tables, and `SECTION`: where the paper has it.
- `measure(run)`: the measures of a trained run (`paper.runs.Run`), numbers by name.
- `ROWS`: what of them the tables show, each `Row` beside the figure of the paper and of the best public reproduction.
- `CONTROLS`: titles of the measures of samples that need no model, if the experiment has them.
- `picture(run)`: a picture of a trained run, if the experiment has one.
- `TITLES`: the names of its models in the tables, where they are not the recipes' own.
- `NOTE`: what a reader must know of the numbers.
"""
