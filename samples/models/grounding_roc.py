#!/usr/bin/env python3
"""ROC curves of the verdicts as one SVG, from what `gaze evaluate --grounding --json` printed:

    python3 grounding_roc.py --out roc.svg "stickers=stickers.json" "speech=speech.json"

Left: answers, right: words. A point of a curve is one limit: across, the share of unsupported cases whose score reaches it; up, of supported.
"""
import argparse
import json
from pathlib import Path

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]
SIDE, GAP, MARGIN = 300, 80, 60


def curve(cases: list[dict]) -> list[tuple[float, float]]:
    scored = sorted(((case["score"], case["supported"]) for case in cases if case["score"] is not None and case["judged_together"]), reverse=True)
    supported = sum(right for _, right in scored)
    unsupported = len(scored) - supported
    points, up, across = [(0.0, 0.0)], 0, 0
    for i, (score, right) in enumerate(scored):
        up, across = up + right, across + (not right)
        if i + 1 == len(scored) or scored[i + 1][0] != score:
            points.append((across / unsupported, up / supported))
    return points


def panel(left: int, title: str, curves: list[tuple[str, dict, str]]) -> list[str]:
    top, drawn = MARGIN, []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + SIDE * tick, top + SIDE * (1 - tick)
        drawn.append(f'<path d="M{left} {y}H{left + SIDE}M{x} {top}V{top + SIDE}" stroke="#ddd"/>')
        drawn.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text><text x="{x}" y="{top + SIDE + 18}" text-anchor="middle">{tick:g}</text>')
    drawn.append(f'<path d="M{left} {top + SIDE}L{left + SIDE} {top}" stroke="#999" stroke-dasharray="4 4"/>')
    for i, (name, told, colour) in enumerate(curves):
        # A corner where the curve has moved by a pixel.
        corners = [(0.0, 0.0)]
        for x, y in curve(told["cases"]):
            if (x, y) == (1, 1) or max(x - corners[-1][0], y - corners[-1][1]) >= 1 / SIDE:
                corners.append((x, y))
        path = " ".join(f"{left + SIDE * x:.1f},{top + SIDE * (1 - y):.1f}" for x, y in corners)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn.append(f'<text x="{left + SIDE - 10}" y="{top + SIDE - 14 - 20 * (len(curves) - 1 - i)}" text-anchor="end" fill="{colour}">{name}: {told["auc"]:.3f}</text>')
    drawn.append(f'<text x="{left}" y="{top - 14}" font-weight="bold">{title}</text>')
    drawn.append(f'<text x="{left + SIDE / 2}" y="{top + SIDE + 38}" text-anchor="middle">unsupported cases above the limit</text>')
    drawn.append(f'<text transform="translate({left - 46} {top + SIDE / 2}) rotate(-90)" text-anchor="middle">supported cases above it</text>')
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="NAME=FILE.json")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    named = [report.split("=", 1) for report in arguments.reports]
    told = [(name, json.loads(Path(file).read_text()), COLOURS[i % len(COLOURS)]) for i, (name, file) in enumerate(named)]
    width, height = 2 * SIDE + GAP + 2 * MARGIN, SIDE + 2 * MARGIN
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for i, of in enumerate(("answers", "words")):
        lines += panel(MARGIN + i * (SIDE + GAP), of, [(name, report[of], colour) for name, report, colour in told])
    arguments.out.write_text("\n".join(lines + ["</svg>", ""]))


if __name__ == "__main__":
    main()
