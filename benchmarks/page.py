"""A page with the plots of one run, complete in one file: times against sizes, ratios to the peers and to the limit.

python -m benchmarks page run.json run.html
"""

from __future__ import annotations

import argparse
import html
import io
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import read
from benchmarks.libraries import package_of
from benchmarks.report import DocumentError, best, by_library, grouped, means, seconds, size_of
from benchmarks.workload import BY_HAND, LIMIT, OURS, load

COLOURS = {
    "funcgrad": "#1d4ed8",
    "jax": "#d97706",
    "torch": "#dc2626",
    "autograd": "#059669",
    "scipy": "#7c3aed",
    "numpy": "#6b7280",
    "numba": "#111827",
}
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)))
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; background: #fff; max-width: 1080px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .2rem; }
p, summary { color: #4b5563; } p.facts { font-size: .85rem; }
svg { width: 100%; height: auto; } figure { margin: 1rem 0; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; width: 100%; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #d1d5db; } td, th { padding: .2rem .6rem .2rem 0; }
td.number, th.number { text-align: right; } tr.ours td { font-weight: 600; color: #1d4ed8; }
tr.first td { border-top: 1px solid #e5e7eb; } details { margin: .5rem 0 0; } summary { cursor: pointer; }
"""


def page(document: dict[str, Any]) -> str:
    """The page of a run, with plots as SVG inside."""
    workloads: dict[str, list[dict[str, Any]]] = {}
    for result in document["results"]:
        workloads.setdefault(result["workload"], []).append(result)
    facts = "; ".join(f"{key} {value}" for key, value in document["environment"].items())
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'><title>funcgrad beside its peers</title>",
        f"<style>{STYLE}</style></head><body>",
        "<h1>funcgrad beside its peers</h1>",
        f"<p class='facts'>{html.escape(document['date'])}, threads: {document['threads']}. "
        f"<code>{html.escape(document['command'])}</code>. {html.escape(facts)}.</p>",
        *(f"<p>{html.escape(label)}: <b>{text}</b></p>" for label, text in means(document["results"]).items()),
        _ratios_section(document["results"]),
        *(_workload_section(name, results) for name, results in workloads.items()),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _ratios_section(results: Sequence[dict[str, Any]]) -> str:
    rows = [(f"{workload} {size}", by_library(group)) for (workload, size), group in grouped(results).items()]
    rows = [(name, medians) for name, medians in rows if OURS in medians and len(medians) > 1]
    if not rows:
        return ""
    return (
        "<h2>All workloads</h2><p>How long the others take, as a multiple of funcgrad's time. Right of the line "
        f"funcgrad is faster.</p><figure>{_ratio_plot(rows)}</figure>"
    )


def _ratio_plot(rows: Sequence[tuple[str, dict[str, float]]]) -> str:
    """Dots on a logarithmic axis: for each workload and size the best peer, NumPy by hand, and the limit."""
    figure, axes = _figure(10, 1.0 + 0.24 * len(rows))
    heights = range(len(rows), 0, -1)
    kinds = (
        ("best peer", lambda m: (best(m) or ("", math.nan))[1], COLOURS["jax"], "o"),
        ("NumPy by hand", lambda m: m.get(BY_HAND, math.nan), COLOURS["numpy"], "D"),
        ("limit (numba by hand)", lambda m: m.get(LIMIT, math.nan), COLOURS["numba"], "|"),
    )
    for height, (_, medians) in zip(heights, rows, strict=True):
        peer = (best(medians) or ("", math.nan))[1] / medians[OURS]
        if not math.isnan(peer):
            axes.plot([1, peer], [height, height], color="#059669" if peer >= 1 else "#dc2626", lw=2, alpha=0.35)
    for label, time, colour, marker in kinds:
        ratios = [time(medians) / medians[OURS] for _, medians in rows]
        if not all(map(math.isnan, ratios)):
            axes.plot(ratios, list(heights), marker, color=colour, label=label, ms=6 if marker != "|" else 9, mew=1.6)
    axes.axvline(1, color=COLOURS["funcgrad"], lw=1.2)
    _logarithmic(axes.xaxis, _plain)
    axes.set_yticks(list(heights), [name for name, _ in rows], fontsize=8)
    axes.set_ylim(0.3, len(rows) + 0.7)
    axes.set_xlabel("time / funcgrad's time")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
    return _svg(figure)


def _workload_section(name: str, results: Sequence[dict[str, Any]]) -> str:
    measured = [r for r in results if "median" in r]
    plot = f"<figure>{_time_plot(name, measured)}</figure>" if measured else ""
    return (
        f"<h2 id='{name}'>{html.escape(name)}</h2><p>{html.escape(load(name).title)}</p>{plot}"
        f"<details><summary>Figures</summary>{_table(results)}</details>"
    )


def _time_plot(name: str, results: Sequence[dict[str, Any]]) -> str:
    """Times of all libraries against the sizes; beside them the ratios to funcgrad."""
    at, is_scale = _positions({r["size"]: r["numbers"] for r in results})
    figure, (left, right) = _figure(12, 4.6, columns=2)
    ours = {r["size"]: r["median"] for r in results if r["library"] == OURS}
    variants: dict[str, int] = {}
    for library in dict.fromkeys(r["library"] for r in results):
        own = [r for r in results if r["library"] == library]
        package = package_of(library)
        style = {
            "color": COLOURS.get(package, "#9ca3af"),
            "ls": DASHES[variants.get(package, 0) % len(DASHES)],
            "lw": 2.4 if library == OURS else 1.3,
            "marker": "o",
            "ms": 4,
            "zorder": 3 if package == OURS else 2,
        }
        variants[package] = variants.get(package, 0) + 1
        own.sort(key=lambda r: at[r["size"]])
        x = [at[r["size"]] for r in own]
        left.plot(x, [r["median"] for r in own], label=library, **style)
        left.fill_between(x, [r["low"] for r in own], [r["high"] for r in own], color=style["color"], alpha=0.12, lw=0)
        beside = [r for r in own if r["size"] in ours]
        right.plot([at[r["size"]] for r in beside], [r["median"] / ours[r["size"]] for r in beside], **style)
    left.set_ylabel("time of a call")
    right.set_ylabel("time / funcgrad's time")
    for axes, text in ((left, lambda t, _: seconds(t).replace(".00", "").replace(".0 ", " ")), (right, _plain)):
        _logarithmic(axes.yaxis, text)
        if is_scale:
            axes.set_xscale("log")
        axes.set_xticks(list(at.values()), list(at), rotation=60 if len(at) > 3 else 0, fontsize=7, ha="center")
        axes.minorticks_off()
        axes.grid(axis="y", color="#e5e7eb", lw=0.6)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    return _svg(figure)


def _positions(numbers: dict[str, dict[str, Any]]) -> tuple[dict[str, float], bool]:
    """Where sizes stand: at the product of their numbers on a logarithmic axis, if these differ; else side by side."""
    extents = {size: math.prod(x for x in n.values() if isinstance(x, int) and x) for size, n in numbers.items()}
    if len(set(extents.values())) == len(extents):
        return dict(sorted(extents.items(), key=lambda item: item[1])), True
    return {size: i for i, size in enumerate(numbers)}, False


def _plain(x: float, _: Any) -> str:
    return f"{x:g}"


def _logarithmic(axis: Any, text: Any) -> None:
    """A logarithmic axis whose numbers are written out; between powers of ten, too, where there are few of these."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.axes.set_yscale("log") if axis.axis_name == "y" else axis.axes.set_xscale("log")
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1.0,) if high / max(low, 1e-12) > 100 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(text)
    axis.set_minor_formatter(NullFormatter())


def _table(results: Iterable[dict[str, Any]]) -> str:
    head = ["size", "library", "median", "quartiles", "/ funcgrad", "import", "first call", "second call"]
    head += ["second process", "peak memory", "error"]
    lines = ["<table><tr>" + "".join(f"<th>{title}</th>" for title in head) + "</tr>"]
    for (_, size), group in grouped(list(results)).items():
        ours = by_library(group).get(OURS)
        for i, r in enumerate(sorted(group, key=lambda r: r.get("median", math.inf))):
            classes = " ".join(["first"] * (i == 0) + ["ours"] * (r["library"] == OURS))
            cells = [size if i == 0 else "", r["library"], *_cells(r, ours)]
            lines.append(f"<tr class='{classes}'>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _cells(r: dict[str, Any], ours: float | None) -> list[str]:
    if "why_not" in r:
        return ["not measured", r["why_not"][:120]]
    first = [seconds(t) for t in r["first_calls"][:2]]
    return [
        seconds(r["median"]),
        f"{seconds(r['low'])} - {seconds(r['high'])}",
        f"{r['median'] / ours:.2f}" if ours else "",
        seconds(r["import"]),
        *[*first, ""][:2],
        " ".join(seconds(t) for t in (r.get("second_process") or [])[:2]),
        size_of(r["memory"]["call"]),
        f"{r['error']:.0e}",
    ]


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in axes if columns > 1 else (axes,):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as an element to be put into a page, its text as text."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", transparent=True)
    return text.getvalue().partition("<!DOCTYPE")[2].partition(">")[2]


def main(arguments: Sequence[str]) -> int:
    """Write the page of a file of figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args(arguments)
    try:
        options.page.write_text(page(read(options.figures)), encoding="utf-8")
    except DocumentError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
