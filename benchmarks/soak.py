"""Many reviewers and many decisions: is any lost, how long does one take, does memory grow?

Two tables, each printed and written beside the others in `benchmarks/results/soak.md` with `--write`:

    browsers   N Chromium tabs with a person each press keys on one run of real digits at once
    decisions  a run of a million samples, a bulk accept of 70,000, then 10,000 decisions one by one

The server, its workspace and the browser are this script's own, on 127.0.0.1, and end with it. The number of
requests is bounded by the options.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fvm_core.config import RunConfig  # noqa: E402
from fvm_core.data import DatasetSpec  # noqa: E402
from fvm_core.review.decisions import DecisionStore  # noqa: E402
from fvm_core.runs.run_folder import RunFolder  # noqa: E402
from fvm_core.workspace import Workspace  # noqa: E402

WHAT = ["browsers", "decisions"]
RESULTS = ROOT / "benchmarks" / "results" / "soak.md"
TIMES = """() => performance.getEntriesByType('resource')
  .filter((entry) => entry.name.endsWith('/saltflat/decisions')).map((entry) => entry.duration)"""
SAVED = """() => document.querySelector('.st-key-grid') && window.saltflatOutbox?.contacted
  && window.saltflatOutbox.commands.size === 0"""


def main() -> None:
    """Run what is asked for and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", choices=["browsers", "decisions"], default=["browsers", "decisions"]
    )
    parser.add_argument("--browsers", type=int, default=20, help="tabs at once (at most 50)")
    parser.add_argument("--keys", type=int, default=50, help="decisions of each (at most 500)")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two keys of a person")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--bulk", type=int, default=70_000, help="samples of the bulk accept")
    parser.add_argument("--decisions", type=int, default=10_000, help="single decisions (at most 100,000)")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {RESULTS.name}")
    asked = parser.parse_args()
    tables = []
    if "browsers" in asked.what:
        people = min(asked.browsers, 50)
        tables.append(asyncio.run(browsers(people, min(asked.keys, 500), asked.pause)))
    if "decisions" in asked.what:
        tables.append(decisions(asked.samples, asked.bulk, min(asked.decisions, 100_000)))
    for table in tables:
        print(table, "\n")
    if asked.write:
        command = f"python benchmarks/soak.py {' '.join(sys.argv[1:])}".strip()
        head = f"# Soak\n\n`{command}` on {platform.machine()}, {os.cpu_count()} cores.\n\n"
        RESULTS.write_text(head + "\n\n".join(tables) + "\n", encoding="utf-8")


async def browsers(people: int, keys: int, pause: float) -> str:
    """Every person decides on samples of their own, at their own pace, in one run."""
    from playwright.async_api import async_playwright

    from tests.ui import runs
    from tests.ui.browser import ARGUMENTS, chromium_path

    with workspace() as home:
        run = runs.finished_run(home, "soak", limit=1200)
        names = [f"person {number}" for number in range(people)]
        shares = np.array_split(np.arange(1200), people)
        keys = min(keys, min(len(share) for share in shares))
        with server(home) as (port, process):
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
                pages = []
                for name, share in zip(names, shares, strict=True):
                    context = await browser.new_context(viewport={"width": 1280, "height": 800})
                    await context.add_init_script(f"localStorage.setItem('saltflat-reviewer', '{name}')")
                    page = await context.new_page()
                    rows = ",".join(map(str, share))
                    await page.goto(f"http://127.0.0.1:{port}/review?run=soak&above=0&rows={rows}")
                    await page.wait_for_selector(".tile[data-focus]", timeout=120_000)
                    pages.append(page)
                memory = process.memory_info().rss
                begun = time.monotonic()

                async def person(page) -> list[float]:
                    for _ in range(keys):
                        await page.keyboard.press("k")
                        await asyncio.sleep(pause)
                    await page.wait_for_function(SAVED, timeout=120_000)
                    return await page.evaluate(TIMES)

                trips = await asyncio.gather(*map(person, pages))
                seconds = time.monotonic() - begun
                grown = process.memory_info().rss - memory
                await browser.close()
        store = DecisionStore(home.database)
        audit = store.audit(run.id)
        lost = people * keys - len(audit)
        signed = audit["reviewer"].value_counts().to_dict() == dict.fromkeys(names, keys)
    times = np.concatenate(trips)
    return table(
        f"{people} browsers at once, {keys} decisions each, a key every {pause:g} s",
        {
            "decisions made": f"{people * keys:,} in {seconds:.0f} s",
            "lost": f"{lost:,}",
            "doubled": f"{int(audit['batch'].duplicated().sum()):,}",
            "all signed by who made them": "yes" if signed else "NO",
            "round trip in the browser, p50 / p95 / max": _times(times),
            "memory of the server grew by": f"{grown / 2**20:,.0f} MiB",
        },
    )


def decisions(samples: int, bulk: int, count: int) -> str:
    """One person with a very large run, through the route that the browser uses."""
    from ui.review_view import ranking_of

    with workspace() as home:
        run, ids, given = large_run(home, samples, bulk)
        with server(home) as (port, process):
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

            def send(commands: list[dict], watch: dict | None = None) -> tuple[dict, float]:
                body = json.dumps({"commands": commands, "watch": watch})
                begun = time.perf_counter()
                try:
                    line.request("POST", "/saltflat/decisions", body, {"Content-Type": "application/json"})
                except BrokenPipeError:  # the server closes a line on which nothing was said for a while
                    line.close()
                    line.request("POST", "/saltflat/decisions", body, {"Content-Type": "application/json"})
                answer = json.loads(line.getresponse().read())
                return answer, time.perf_counter() - begun

            def command(kind: str, **more: object) -> dict:
                base = {"key": uuid.uuid4().hex[:24], "kind": kind, "run": run.id, "data": "soak"}
                return {**base, "reviewer": "ana", **more}

            wanted = {"above": 100 * (1 - bulk / samples)}
            watch = {"run": run.id, "rows": list(range(60))}
            told, first = send([], {**watch, "filter": wanted})
            open_rows = told["watch"]["acceptable"]
            accept = command("accept", ranking=ranking_of(run), filter=wanted, expected=open_rows)
            answer, accepted = send([accept], watch)
            assert answer["results"][0]["outcome"] == "done", answer
            times, memory = [], [process.memory_info().rss]
            for row in range(count):
                item = {"sample": ids[row], "row": row, "given": given[row], "version": "", "action": "keep"}
                answer, seconds = send([command("decide", items=[{**item, "label": None}])], watch)
                assert answer["results"][0]["outcome"] == "done", answer
                times.append(seconds)
                if (row + 1) % max(1, count // 10) == 0:
                    memory.append(process.memory_info().rss)
            answer, undone = send([command("undo", target=accept["key"])], watch)
            assert answer["results"][0]["outcome"] == "done", answer
        store = DecisionStore(home.database)
        kept = store.counts(run.id)["kept"]
    times = np.array(times) * 1000
    tenth = max(1, count // 10)
    return table(
        f"{samples:,} samples, {count:,} decisions one by one after a bulk accept of {open_rows:,}",
        {
            "first answer, reads the scores": f"{first:.1f} s",
            "bulk accept": f"{accepted:.1f} s",
            "lost": f"{count - kept:,}",
            "one decision, p50 / p95 / max": _times(times),
            f"the first {tenth:,}, p50": f"{np.median(times[:tenth]):.1f} ms",
            f"the last {tenth:,}, p50": f"{np.median(times[-tenth:]):.1f} ms",
            "undo of the bulk accept": f"{undone:.1f} s",
            "memory of the server, tenth by tenth": ", ".join(f"{m / 2**20:,.0f}" for m in memory) + " MiB",
        },
    )


def large_run(home: Workspace, samples: int, bulk: int) -> tuple[RunFolder, list[str], list[str]]:
    """A finished run with made scores: only their number matters here."""
    spec = DatasetSpec("digits")
    run = RunFolder.create(home.runs / "large", RunConfig(train_data=spec, val_data=spec, name="large"))
    classes = [f"class {k}" for k in range(10)]
    rows = np.arange(samples)
    ids = [f"image/{row:08d}.jpg" for row in rows]
    given = [classes[k] for k in rows % 10]
    suggested = [classes[k] for k in (rows + 1) % 10]
    suspicion = rows.astype(float)  # the last rows are the most suspicious
    number = pa.array(suspicion)
    columns = {
        "id": pa.array(ids),
        "path": pa.nulls(samples, pa.string()),
        "given_label": pa.array(given),
        "influence": number,
        "suspicion": number,
        "percentile": pa.array(100 * (rows + 1) / samples),
        "suggested_label": pa.array(suggested),
        "suggested_influence": number,
        "loss": number,
        "alternatives": _alternatives(suggested, suspicion),
        "p_given": pa.array(np.full(samples, 0.1)),
        "p_suggested": pa.array(np.full(samples, 0.9)),
    }
    run.write_table("scores.parquet", pa.table(columns))
    run.update(samples=samples, classes=classes, data={"train": {"fingerprint": "soak", "samples": samples}})
    for stage in ("prepare", "train", "tune", "curvature", "score", "relabel"):
        run.finish(stage, 1.0)
    return run, ids, given


def _alternatives(labels: list[str], influence: np.ndarray) -> pa.Array:
    """Three for each sample, as a real run has them."""
    names, codes = np.unique(labels, return_inverse=True)
    names, codes = pa.array(names.tolist()), np.repeat(codes, 3).astype(np.int32)
    entries = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(codes, names).cast(pa.string()),
            pa.array(np.repeat(influence, 3)),
            pa.array(np.tile([0.9, 0.06, 0.04], len(labels))),
        ],
        ["label", "influence", "probability"],
    )
    return pa.ListArray.from_arrays(np.arange(0, 3 * len(labels) + 1, 3, dtype=np.int32), entries)


@contextlib.contextmanager
def workspace() -> Iterator[Workspace]:
    """An empty workspace that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="saltflat-soak-"))
    before = os.environ.get("SALTFLAT_HOME")
    os.environ["SALTFLAT_HOME"] = str(folder)
    try:
        yield Workspace(folder).made()
    finally:
        os.environ.pop("SALTFLAT_HOME")
        if before is not None:
            os.environ["SALTFLAT_HOME"] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server(home: Workspace) -> Iterator[tuple[int, psutil.Process]]:
    """The app on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "SALTFLAT_HOME": str(home.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            time.sleep(0.25)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def table(title: str, rows: dict[str, str]) -> str:
    """A Markdown table of two columns."""
    lines = [
        f"## {title}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n".join(lines)


def _times(values: np.ndarray) -> str:
    p50, p95 = np.percentile(values, [50, 95])
    return f"{p50:.0f} / {p95:.0f} / {values.max():.0f} ms"


if __name__ == "__main__":
    main()
