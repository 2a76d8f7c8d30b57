"""Medians, ratios and the table."""
from statistics import median

from stages import FIGURES

PROXIES = ("usher", "haproxy", "squid")


def summary(runs):
    """For each figure the median of each proxy and Usher's ratio to the other two; below 1 is better."""
    result = {}
    for key, title, unit in FIGURES:
        row = {"title": title, "unit": unit}
        for name in PROXIES:
            figures = [run["figures"][key] for run in runs if run["proxy"] == name and key in run["figures"]]
            row[name] = median(figures) if figures else None
        for other in PROXIES[1:]:
            row[f"usher/{other}"] = row["usher"] / row[other] if row[other] else None
        result[key] = row
    return result


def table(rows):
    columns = (*PROXIES, "usher/haproxy", "usher/squid")
    lines = [f"{'figure':<32}" + "".join(f"{column:>15}" for column in columns)]
    for row in rows.values():
        line = f"{row['title'] + ' (' + row['unit'] + ')':<32}"
        for column in columns:
            value = row[column]
            line += f"{'-':>15}" if value is None else f"{value:>15.1f}" if value >= 100 else f"{value:>15.2f}"
        lines.append(line)
    return "\n".join(lines)
