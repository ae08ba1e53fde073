"""Draws what `lacuna bench --synthetic SHAPE --json` measured on a card under the card's two roofs.

    python docs/roofline.py lacuna-bf16.json [lacuna-fp8.json ...] [--peer transformers.json] --out docs/roofline.png

A step can be no faster than the card reads its weights, nor than the card multiplies: the slope is the bandwidth of a
copy on that card, the flat part its rate of a large product, both measured in the same run. A point is a step; how far
it stands below the roof is what is left to gain. On the right stands what a step takes beside its floor, and beside
the peer's step of the same rows and prompt. Needs matplotlib.
"""

import argparse
import json
from pathlib import Path

import matplotlib

MARKERS = "osD^vP"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", help="one file a dtype, all of one card and shape")
    parser.add_argument("--peer", type=Path, help="what kernels/peer/transformers_bench.py printed")
    parser.add_argument("--out", type=Path, required=True, help="the picture: .png or .svg")
    arguments = parser.parse_args()
    reports = [json.loads(path.read_text()) for path in arguments.reports]
    if len({(report["device"], report["shape"]) for report in reports}) > 1:
        raise SystemExit("the reports are of different cards or shapes: they do not belong under one roof")
    peer = json.loads(arguments.peer.read_text()) if arguments.peer else None
    draw(reports, peer, arguments.out)


def draw(reports: list[dict], peer: dict | None, out: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (roof, times) = pyplot.subplots(1, 2, figsize=(12, 5), width_ratios=(3, 2))
    draw_roof(roof, reports)
    draw_times(times, reports, peer)
    figure.suptitle(f"{reports[0]['shape']} on {reports[0]['device']}")
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    pyplot.close(figure)


def draw_roof(axes, reports: list[dict]) -> None:
    # The best of the runs: anything else that runs on the card only ever slows one down.
    bandwidth = max(report["copy_gb_per_s"] for report in reports) / 1e3
    steps = [step for report in reports for step in report["steps"]]
    intensities = [step["gflop"] / step["gb"] for step in steps]
    low, high = min(intensities) / 2, max(intensities) * 4
    for number, report in enumerate(reports):
        rate = report["matrix_tflops"]
        ridge = rate / bandwidth
        line = [(low, low * bandwidth), (ridge, rate), (max(high, 2 * ridge), rate)]
        axes.plot(*zip(*line), color=f"C{number}", alpha=0.6)
        for marker, prompt in zip(MARKERS, sorted({step["prompt"] for step in report["steps"]})):
            points = [
                (step["gflop"] / step["gb"], step["gflop"] / step["median_ms"])
                for step in report["steps"]
                if step["prompt"] == prompt
            ]
            axes.scatter(*zip(*points), color=f"C{number}", marker=marker, label=f"{report['dtype']}, {prompt} tokens")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="arithmetic in a step's products for each byte that it must read (FLOP/byte)",
        ylabel="arithmetic done (TFLOP/s)",
        title=f"steps of {min(step['rows'] for step in steps)} to {max(step['rows'] for step in steps)} rows",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")


def draw_times(axes, reports: list[dict], peer: dict | None) -> None:
    """A bar a dtype: the step of most rows over the shortest prompt that is not empty."""
    labels, found, floors = [], [], []
    chosen = None
    for report in reports:
        step = max(report["steps"], key=lambda step: (step["rows"], step["prompt"] > 0, -step["prompt"]))
        chosen = (step["rows"], step["prompt"])
        labels.append(f"Lacuna\n{report['dtype']}")
        found.append(step["median_ms"])
        floors.append(step["gb"] / report["copy_gb_per_s"] * 1e3)
    for step in peer["steps"] if peer else []:
        if (step["rows"], step["prompt"]) == chosen:
            labels.append(f"transformers\n{peer['dtype']}")
            found.append(step["median_ms"])
            floors.append(0.0)
    bars = axes.bar(labels, found, color=[f"C{number}" for number in range(len(labels))])
    axes.bar_label(bars, fmt="%.1f ms")
    for bar, floor in zip(bars, floors):
        if floor > 0:
            axes.hlines(floor, bar.get_x(), bar.get_x() + bar.get_width(), color="black", linestyle="--")
    axes.set(ylabel="milliseconds", title=f"{chosen[0]} rows over {chosen[1]} tokens; dashed: the bytes' time")
    axes.margins(y=0.15)


if __name__ == "__main__":
    main()
