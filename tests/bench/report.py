"""What a run found, as a table for people, as JSON for trends, and against the gates."""

from statistics import median
from typing import Any

from tests.bench.suite import YARDSTICK, Figures, Sample

MIN_EXCHANGE_RATIO = 0.15
MAX_WORKER_MEGABYTES = 120
MAX_START_SECONDS = 1.0


def as_dict(figures: Figures, machine: dict[str, Any]) -> dict[str, Any]:
    """Every figure; rates are requests per CPU-second of the server's processes, times are seconds."""
    return {
        "machine": machine,
        "workloads": {name: _workload(figures, name) for name in figures.samples},
        "signatures_per_cpu_second": _spread(figures.signatures),
        "start_to_first_token": _spread(figures.starts, is_better_low=True),
        "resident_megabytes": {name: round(value, 1) for name, value in figures.resident.items()},
        "successful_issuances": figures.successes,
        "issued_token_rows": figures.token_rows,
        "audit_rows": figures.audit_rows,
        "failures": figures.failures,
    }


def table(report: dict[str, Any]) -> str:
    """The report in lines."""
    head = ("", "best", "median", "worst", "x bare Flask", "x signing", "p99 ms", "x bare Flask")
    rows = [head]
    for name, one in report["workloads"].items():
        rate, p99 = one["per_cpu_second"], one["p99"]
        rows.append(
            (
                name,
                *(f"{rate[which]:,.0f}" for which in ("best", "median", "worst")),
                f"{one['of_bare_flask']['median']:.2f} ({one['of_bare_flask']['worst']:.2f})",
                f"{one['of_signing']['median']:.3f}",
                f"{p99['median'] * 1000:.1f}",
                f"{one['p99_of_bare_flask']['median']:.1f}",
            )
        )
    signing = report["signatures_per_cpu_second"]
    rows.append(("raw ES256 signing", *(f"{signing[which]:,.0f}" for which in ("best", "median", "worst"))))
    return "\n".join(
        ("Requests per CPU-second of the server, ratios as median (worst)", *_columns(rows), *_rest(report))
    )


def faults(report: dict[str, Any]) -> list[str]:
    """What must never be: replies that were no success, and rows that do not match the replies."""
    found = [f"{count} replies of {name}" for name, count in report["failures"].items()]
    successes = report["successful_issuances"]
    for name in ("issued_token_rows", "audit_rows"):
        if report[name] != successes:
            found.append(f"{successes} tokens were handed out, {name.replace('_', ' ')} are {report[name]}")
    return found


def missed_gates(report: dict[str, Any]) -> list[str]:
    """Which of the promised figures this run did not reach; they are promised of the embedded default."""
    found: list[str] = []
    if report["machine"]["database"] != "sqlite":
        return found
    exchange = report["workloads"].get("token exchange")
    if exchange and exchange["of_bare_flask"]["median"] < MIN_EXCHANGE_RATIO:
        found.append(f"token exchange is below {MIN_EXCHANGE_RATIO} of a bare Flask response")
    if report["resident_megabytes"]["worker"] > MAX_WORKER_MEGABYTES:
        found.append(f"a worker holds more than {MAX_WORKER_MEGABYTES} MB")
    if report["start_to_first_token"]["median"] > MAX_START_SECONDS:
        found.append(f"the first token comes later than {MAX_START_SECONDS} s after the start")
    return found


def _workload(figures: Figures, name: str) -> dict[str, Any]:
    samples, bare = figures.samples[name], figures.samples[YARDSTICK]
    return {
        "per_cpu_second": _spread([one.per_cpu_second for one in samples]),
        "of_bare_flask": _spread(_ratios(samples, bare)),
        "of_signing": _spread(
            [one.per_cpu_second / rate for one, rate in zip(samples, figures.signatures, strict=True)]
        ),
        "p99": _spread([one.p99 for one in samples], is_better_low=True),
        "p99_of_bare_flask": _spread(
            [one.p99 / base.p99 for one, base in zip(samples, bare, strict=True)], is_better_low=True
        ),
        "wall_rate": _spread([one.wall_rate for one in samples]),
    }


def _ratios(samples: list[Sample], bare: list[Sample]) -> list[float]:
    """Each round against the yardstick of the same round: neighbours on the machine slow down both."""
    return [one.per_cpu_second / base.per_cpu_second for one, base in zip(samples, bare, strict=True)]


def _spread(values: list[float], *, is_better_low: bool = False) -> dict[str, float]:
    ordered = sorted(values, reverse=not is_better_low)
    found = {"best": ordered[0], "median": median(ordered), "worst": ordered[-1]}
    return {name: round(value, 5) for name, value in found.items()}


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in rows
    ]


def _rest(report: dict[str, Any]) -> list[str]:
    start, resident = report["start_to_first_token"], report["resident_megabytes"]
    return [
        "",
        f"Start to first token: {start['best']:.2f} / {start['median']:.2f} / {start['worst']:.2f} s",
        f"Resident memory: {resident['worker']:.0f} MB a worker, {resident['parent']:.0f} MB their parent",
        f"Tokens handed out: {report['successful_issuances']:,}; "
        f"token rows {report['issued_token_rows']:,}; audit rows {report['audit_rows']:,}",
    ]
