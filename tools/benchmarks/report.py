"""Figures with their targets: the table for people and the JSON for programs."""

import json
import os
import platform
import statistics


def figure(name, value, unit, target=None, relation=None):
    """One figure; `relation` says on which side of `target` it has to lie, if it has one."""
    met = target is None or (value <= target if relation == "<=" else value >= target)
    return {"name": name, "value": round(value, 4), "unit": unit, "target": target, "relation": relation, "met": met}


def host():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def table(headings, rows):
    """Columns, the first left-aligned, the others right-aligned."""
    cells = [headings] + [[cell if isinstance(cell, str) else f"{cell:,.2f}" for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = []
    for row in cells:
        first, rest = row[0].ljust(widths[0]), [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join([first] + rest).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def print_figures(figures):
    rows = [
        [f["name"], f["value"], f["unit"]]
        + (["", ""] if f["target"] is None else
           [f"{f['relation']} {f['target']:g}", "met" if f["met"] else "NOT MET"])
        for f in figures
    ]
    print(table(["figure", "value", "unit", "target", ""], rows))
    missed = [f["name"] for f in figures if not f["met"]]
    targets = sum(f["target"] is not None for f in figures)
    print()
    print(f"Not met: {', '.join(missed)}" if missed else f"All {targets} targets are met.")


def write_json(path, lane, rounds, figures, raw):
    document = {
        "lane": lane, "host": host(), "kernel": platform.release(), "rounds": rounds, "figures": figures, "raw": raw,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def median(values):
    return statistics.median(values)
