#!/usr/bin/env python3
"""Counts alarm onsets and ends straight from recorded vitals.

An independent check of Pulseward's limit rule: it reads BIDMC numerics CSV files, shares no code
with the service or its simulators, and needs nothing but Python's standard library.

A rule is COLUMN, > or <, LIMIT, DELAY and MAX_GAP in seconds, as in `HR>100:15:1.5`:

- A sample breaches if it lies strictly beyond the limit.
- A breach that began at t raises at the first breaching sample measured at t + DELAY or later,
  if no sample in between did not breach.
- A missing value (NaN) is no sample. Two samples further apart than MAX_GAP are not one breach:
  the second begins a new one.
- An active alert ends at the first sample that does not breach. A gap does not end it.

It does not judge plausibility, levels, clear delays or lateness. `python3 -m doctest onsets.py`
checks it.
"""

import argparse
import csv
import json
import re
import sys
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

DEFAULT_RULES = ["HR>100:15:1.5", "RESP>24:15:1.5", "SpO2<90:15:1.5"]
TIME_COLUMN = "Time [s]"
RULE_SHAPE = re.compile(r"(?P<column>[^<>:]+)(?P<side>[<>])(?P<limit>[^:]+):(?P<delay>[^:]+):(?P<gap>[^:]+)")


@dataclass(frozen=True)
class Rule:
    """One limit with its delay. Times are seconds."""

    text: str
    column: str
    above: bool
    limit: Decimal
    delay: Decimal
    max_gap: Decimal

    @staticmethod
    def parse(text):
        shape = RULE_SHAPE.fullmatch(text)
        if shape is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not like HR>100:15:1.5")
        try:
            limit, delay, gap = (Decimal(shape[name]) for name in ("limit", "delay", "gap"))
        except InvalidOperation:
            raise argparse.ArgumentTypeError(f"{text!r}: a limit, delay or gap is no number")
        return Rule(text, shape["column"].strip(), shape["side"] == ">", limit, delay, gap)

    def breaches(self, value):
        return value > self.limit if self.above else value < self.limit


def alerts(rule, samples):
    """The alerts of one rule over one file's samples, each (time, value), in order of time.

    >>> rule = Rule.parse("HR>100:5:1.5")
    >>> def times(*rates):  # one a second, None is missing
    ...     samples = [(second, rate) for second, rate in enumerate(rates) if rate is not None]
    ...     return [tuple(alert.values()) for alert in alerts(rule, samples)]
    >>> times(*[101] * 5), times(*[101] * 6), times(*[100] * 9)
    ([], [(0, 5, None)], [])
    >>> times(*[101] * 4, 90, *[101] * 6, 90)  # a sample that does not breach
    [(5, 10, 11)]
    >>> times(*[101] * 4, None, *[101] * 6)  # a gap
    [(5, 10, None)]
    >>> times(*[101] * 6, None, None, 101, 90, *[101] * 6)  # a gap ends nothing
    [(0, 5, 9), (10, 15, None)]
    """
    found = []
    onset = None  # when the breach now under way began
    open_alert = None
    previous = None  # time of the sample before
    for time, value in samples:
        contiguous = previous is not None and time - previous <= rule.max_gap
        previous = time
        if not rule.breaches(value):
            if open_alert is not None:
                open_alert["ended"] = time
            open_alert = onset = None
            continue
        if onset is None or not contiguous:
            onset = time
        if open_alert is None and time - onset >= rule.delay:
            open_alert = {"onset": onset, "raised": time, "ended": None}
            found.append(open_alert)
    return found


def read(path):
    """Rows of one file as {column: Decimal}, without the missing values."""
    with path.open(newline="", encoding="ascii") as file:
        lines = csv.reader(file, skipinitialspace=True)
        header = next(lines, None)
        if not header or header[0] != TIME_COLUMN:
            raise ValueError(f"{path}:1: the header does not begin with {TIME_COLUMN!r}")
        for number, cells in enumerate(lines, start=2):
            if len(cells) != len(header):
                raise ValueError(f"{path}:{number}: {len(cells)} cells under {len(header)} columns")
            try:
                values = [Decimal(cell) + 0 for cell in cells]  # + 0 turns -0 into 0
            except InvalidOperation:
                raise ValueError(f"{path}:{number}: a cell is no number")
            yield {name: value for name, value in zip(header, values) if not value.is_nan()}


def count(path, rules):
    """What one file holds for each rule."""
    rows = list(read(path))
    columns = set().union(*rows)
    results = {}
    for rule in rules:
        if rule.column not in columns:
            raise ValueError(f"{path}: no values of {rule.column!r}; it has {sorted(columns)}")
        samples = [(row[TIME_COLUMN], row[rule.column]) for row in rows if rule.column in row]
        results[rule.text] = alerts(rule, samples)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="BIDMC numerics CSV")
    parser.add_argument("--rule", action="append", type=Rule.parse, metavar="COLUMN>LIMIT:DELAY:GAP",
                        help=f"repeatable; default {' '.join(DEFAULT_RULES)}")
    parser.add_argument("--json", action="store_true", help="print every alert as JSON")
    options = parser.parse_args()
    rules = options.rule or [Rule.parse(text) for text in DEFAULT_RULES]
    try:
        by_file = {path.name: count(path, rules) for path in sorted(options.files)}
    except (OSError, UnicodeDecodeError, ValueError) as error:
        sys.exit(f"onsets: {error}")
    report(rules, by_file, options.json)


def totals(rule, by_file):
    """Onsets and ends of one rule over all files."""
    found = [alert for results in by_file.values() for alert in results[rule.text]]
    return {"onsets": len(found), "ends": sum(alert["ended"] is not None for alert in found)}


def report(rules, by_file, as_json):
    if as_json:
        json.dump(
            {"totals": {rule.text: totals(rule, by_file) for rule in rules}, "files": by_file},
            sys.stdout, indent=1, default=float)
        print()
        return
    print("file".ljust(28), *(rule.text.rjust(18) for rule in rules))
    for name, results in by_file.items():
        print(name.ljust(28), *(str(len(results[rule.text])).rjust(18) for rule in rules))
    for field in ("onsets", "ends"):
        print(f"total {field}".ljust(28),
              *(str(totals(rule, by_file)[field]).rjust(18) for rule in rules))


if __name__ == "__main__":
    main()
