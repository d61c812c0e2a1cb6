"""A table of what was injected and survived: `pytest -m fault --fault-table benchmarks/results/faults.md`.

A test marked `fault("what happens")` injects that once; it passes only if nothing was lost, doubled, recorded
elsewhere or called saved that wasn't.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file to write."""
    parser.addoption("--fault-table", type=Path, help="write the table of injected faults to this file")


class FaultTable:
    """Counts the marked tests that ran, by fault."""

    def __init__(self, path: Path):
        self.path = path
        self.injected: dict[str, int] = defaultdict(int)
        self.failed: dict[str, int] = defaultdict(int)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        """Note how a marked test ended."""
        report = yield
        mark = item.get_closest_marker("fault")
        if mark and (report.when == "call" or report.failed) and not report.skipped:
            self.injected[mark.args[0]] += report.when == "call"
            self.failed[mark.args[0]] += report.failed
        return report

    def pytest_sessionfinish(self) -> None:
        """Write the table."""
        rows = [
            f"| {name} | {count} | {count - self.failed[name]} | {self.failed[name]} |"
            for name, count in sorted(self.injected.items())
        ]
        total, failed = sum(self.injected.values()), sum(self.failed.values())
        lines = [
            "# Faults injected",
            "",
            "`pytest -m fault --fault-table benchmarks/results/faults.md`. A fault is survived when nothing was",
            "lost, doubled, recorded elsewhere, or called saved that wasn't, and the reason was told in words.",
            "",
            "| fault | injected | survived | lost |",
            "|---|---|---|---|",
            *rows,
            f"| **all** | **{total}** | **{total - failed}** | **{failed}** |",
            "",
        ]
        self.path.write_text("\n".join(lines), encoding="utf-8")
