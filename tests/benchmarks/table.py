"""Converts the results of `make bench` from pytest-benchmark's JSON (standard input) to Markdown (standard output)."""

import json
import sys
from collections import defaultdict

import aae_native
import torch


def main() -> None:
    results = json.load(sys.stdin)
    machine = results["machine_info"]
    print("# Benchmarks\n")
    print("`make bench` writes this file. Each row gives the fastest and the median time of one call over many rounds,")
    print("including Python's overhead. `relative` is the fastest time divided by that of the table's first row.\n")
    print(f"- processor: {machine['cpu']['brand_raw']}, {machine['cpu']['count']} cores available")
    print(f"- native code: {aae_native.build_info()['compiler']}, instruction set {aae_native.build_info()['isa']}")
    print(f"- Python {machine['python_version']}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        print(f"- GPU: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    else:
        print("- GPU: none, so GPU benchmarks were skipped")

    groups = defaultdict(list)
    for benchmark in results["benchmarks"]:
        groups[benchmark["group"]].append(benchmark)
    for group, benchmarks in groups.items():
        print(f"\n## {group[0].upper()}{group[1:]}\n")
        notes = list(dict.fromkeys(note for benchmark in benchmarks for note in benchmark["extra_info"]))
        columns = ["", "fastest", "median", "relative", *notes]
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        first = benchmarks[0]["stats"]["min"]
        for benchmark in benchmarks:
            stats = benchmark["stats"]
            name = (benchmark["param"] or benchmark["name"]).replace("_", " ")
            extra = [shown(benchmark["extra_info"].get(note, "")) for note in notes]
            cells = [name, duration(stats["min"]), duration(stats["median"]), f"{stats['min'] / first:.2f}", *extra]
            print(f"| {' | '.join(cells)} |")


def duration(seconds: float) -> str:
    """Three significant digits in a suitable unit."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def shown(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
