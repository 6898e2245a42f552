"""Records as a chart: how many times as long as fastmlp each library takes."""

from .tables import NAMES, TITLES, grouped, reference

COLOURS = {
    "sklearn": "#f89939",
    "sklearn-skylakex": "#ffcf95",
    "torch": "#c44e52",
    "jax": "#5e97f6",
    "onnxruntime": "#7f7f7f",
}
"""Of the peers that have bars; fastmlp is the line at 1."""


def ratios(records):
    """Return {(title, unit) of a row: {peer: ratio of its least time to fastmlp's}}."""
    result = {}
    for rows in grouped(records, "row").values():
        ours = reference(rows)
        if ours is not None and ours["least"] > 0:
            timed = [r for r in rows if r.get("least", 0) > 0 and r["peer"] in COLOURS]
            of_row = {record["peer"]: record["least"] / ours["least"] for record in timed}
            title, unit = rows[0]["title"], rows[0]["unit"]
            result[f"{title}: {unit}" if rows[0]["kind"] == "estimator" else title] = of_row
    return result


def draw(result, path):
    """Draw a panel of bars for each kind of row, and write it to `path`.

    Parameters
    ----------
    result : dict
        With "machine" and "records"; of these, the ones with the fewest threads and without shuffling are drawn.
    path : path-like
        Its ending is the format.

    Returns
    -------
    bool
        Whether there is anything to draw.
    """
    from matplotlib.figure import Figure

    threads = min((record["threads"] for record in result["records"]), default=1)
    records = [r for r in result["records"] if r["threads"] == threads and not r["shuffle"]]
    panels = {kind: ratios(group) for (kind,), group in grouped(records, "kind").items()}
    panels = {kind: panel for kind, panel in panels.items() if any(panel.values())}
    if not panels:
        return False
    peers = [name for name in COLOURS if any(name in bars for panel in panels.values() for bars in panel.values())]
    heights = [sum(len(bars) + 1 for bars in panel.values()) for panel in panels.values()]
    figure = Figure(figsize=(9, 1.2 + 0.13 * sum(heights) + 0.5 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (kind, panel) in zip(axes, panels.items(), strict=True):
        _draw_panel(ax, panel)
        ax.set_title(TITLES[kind], loc="left", fontsize=10)
    axes[-1].set_xlabel("time, as a multiple of fastmlp's", fontsize=9)
    handles = [_patch(COLOURS[name]) for name in peers]
    figure.legend(handles, [NAMES[name] for name in peers], loc="outside upper center", ncols=len(peers), fontsize=8)
    where = f"{result['machine'].partition(',')[0]}, {threads} thread{'s' * (threads > 1)}, least times"
    figure.supxlabel(where, fontsize=8, color="#555555")
    figure.savefig(path, dpi=150)
    return True


def _draw_panel(ax, panel):
    """Draw one bar for each peer of each row, rows from the top."""
    y, ticks = 0.0, []
    for bars in panel.values():
        ticks.append(y + (len(bars) - 1) / 2)
        for name in COLOURS:
            if name in bars:
                ax.barh(y, bars[name] - 1, left=1, height=0.9, color=COLOURS[name])
                ratio = f"{bars[name]:.3g}" if bars[name] < 999.5 else f"{bars[name]:.0f}"
                ax.annotate(ratio, (max(bars[name], 1), y), (3, 0), textcoords="offset points", va="center")
                ax.texts[-1].set_fontsize(7)
                y += 1
        y += 1
    ax.set_yticks(ticks, panel, fontsize=8)
    ax.set_ylim(y - 0.5, -1)
    ax.set_xscale("log")
    greatest = max(ratio for bars in panel.values() for ratio in bars.values())
    least = min(ratio for bars in panel.values() for ratio in bars.values())
    ax.set_xlim(min(0.8, 0.7 * least), 1.8 * max(greatest, 5))
    ax.set_xticks(
        [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if min(0.8, least / 2) < t < 1.5 * greatest]
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=8)
    ax.axvline(1, color="black", linewidth=1)
    ax.spines[["top", "right"]].set_visible(False)


def _patch(colour):
    from matplotlib.patches import Patch

    return Patch(color=colour)
