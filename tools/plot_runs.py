#!/usr/bin/env python3
"""Draws metrics of runs against the step as one SVG picture, a panel a metric.

    tools/plot_runs.py OUT.svg METRIC[,METRIC...] RUN_DIR...

Thin lines are the runs, the thick one is their mean over a window of three steps.
"""
import json
import sys
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 260, 160, 34
COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756"]


def series(run_dir, metric):
    """{step: value} of a run's own steps."""
    rows = map(json.loads, (Path(run_dir) / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row[metric] for row in rows if row.get(metric) is not None}


def mean_of(runs):
    """The mean of all runs at the step and its two neighbours."""
    steps = sorted(set().union(*runs))
    near = {s: [run[t] for run in runs for t in (s - 1, s, s + 1) if t in run] for s in steps}
    return {s: sum(values) / len(values) for s, values in near.items()}


def polyline(points, place, colour, width):
    text = " ".join("{:.1f},{:.1f}".format(*place(s, v)) for s, v in sorted(points.items()))
    return f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def panel(metric, runs, left):
    top = max(value for run in runs for value in run.values()) * 1.05 or 1.0
    last = max(step for run in runs for step in run)

    def place(step, value):
        return (left + MARGIN + (WIDTH - MARGIN - 10) * (step - 1) / max(1, last - 1),
                HEIGHT - 24 - (HEIGHT - 48) * value / top)

    (x0, y0), (x1, y1) = place(1, 0), place(last, top)
    parts = [f'<path d="M{x0},{y1} V{y0} H{x1}" fill="none" stroke="#888"/>',
             f'<text x="{x0}" y="14">{metric}</text>',
             f'<text x="{x0 - 4}" y="{y1 + 4}" text-anchor="end">{top:.2f}</text>',
             f'<text x="{x0 - 4}" y="{y0}" text-anchor="end">0</text>',
             f'<text x="{x1}" y="{y0 + 16}" text-anchor="end">step {last}</text>']
    for colour, run in zip(COLOURS, runs):
        parts.append(polyline(run, place, colour, 0.8))
    return parts + [polyline(mean_of(runs), place, "#222", 2.2)]


def main(out, metrics, *run_dirs):
    names = metrics.split(",")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(names)}" '
             f'height="{HEIGHT}" font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="white"/>']
    for i, metric in enumerate(names):
        parts += panel(metric, [series(run, metric) for run in run_dirs], i * WIDTH)
    Path(out).write_text("\n".join(parts + ["</svg>"]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
