"""The runner and its processes: equal numbers whatever the workers, looks, sweeps, resuming, failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import measurements
import pytest

from clearhead.bilingual import same
from clearhead.errors import MachineError
from clearhead.experiments import store
from clearhead.experiments.claims import Claim, above, below, difference, near
from clearhead.experiments.experiment import BySize, Experiment, Tune, cell
from clearhead.experiments.fanout import CellFailedError, Fanout, Pool
from clearhead.experiments.runner import Findings, Plan, Progress, conduct
from clearhead.text.corpora import Corpus

CORPUS = Corpus("none", "0", 0, "embedded")


def experiment(run: object = measurements.noisy, **options: object) -> Experiment:
    return Experiment("e", run, ("a", "b"), **options)  # type: ignore[arg-type]


def findings(plan: Plan, fanout: Fanout) -> Findings:
    *events, last = conduct(plan, fanout)
    assert all(isinstance(event, Progress) for event in events)
    assert isinstance(last, Findings)
    return last


def plan_of(one: Experiment, *claims: Claim, **options: object) -> Plan:
    return Plan([one], claims, CORPUS, **options)  # type: ignore[arg-type]


def claim(region: object, **dose: float) -> Claim:
    return Claim("c", difference("e", "loss", "b", "a", **dose), region, "nats", same("c"))  # type: ignore[arg-type]


def test_same_numbers_in_the_same_order_whatever_the_workers(tmp_path: Path) -> None:
    one = experiment(dose={"shift": (0.0, 1.0)}, seeds=BySize((3,), (3,)))
    alone = findings(plan_of(one), Fanout(tmp_path / "1", 1))
    many = findings(plan_of(one), Fanout(tmp_path / "3", 3))
    assert alone.evidence.rows == many.evidence.rows
    assert len(alone.evidence.rows) == 2 * 2 * 3 * 3
    assert [row.seed for row in alone.evidence.where("e", "loss", "a", shift=0.0)] == [0, 1, 2]


def test_undecided_claims_get_the_next_look_and_decided_ones_do_not(tmp_path: Path) -> None:
    one = experiment(dose={"shift": (1.0,)}, seeds=BySize((3, 6), (3, 6)))
    clear = findings(plan_of(one, claim(above(0.1))), Fanout(tmp_path, 2))
    assert clear.verdicts["c"].outcome == "supported"
    assert clear.verdicts["c"].seeds == 3
    close = findings(plan_of(one, claim(near(1.0, 0.01))), Fanout(tmp_path, 2))
    assert close.verdicts["c"].seeds == 6
    assert close.evidence.facts["looks_taken"] == {"e": 2}


def test_every_arm_gets_the_same_sweep_on_seeds_not_measured_on(tmp_path: Path) -> None:
    one = experiment(seeds=BySize((3,), (3,)), tune=Tune("rate", (1.0, 2.0, 4.0), "loss"))
    found = findings(plan_of(one), Fanout(tmp_path, 2))
    swept = [row for row in found.evidence.rows if row.experiment == "e.sweep" and row.measure == "loss"]
    measured = {row.seed for row in found.evidence.rows if row.experiment == "e"}
    assert sorted(row.arm for row in swept) == ["a"] * 3 + ["b"] * 3
    assert measured.isdisjoint(row.seed for row in swept)
    assert [row["rate"] for row in found.evidence.facts["tuned"]] == [2.0, 2.0]


def test_finished_cells_are_never_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = BySize({"log": str(log)}, {"log": str(log)})
    one = experiment(measurements.counts, seeds=BySize((4,), (4,)), settings=settings)
    first = findings(plan_of(one), Fanout(tmp_path / "cells", 2))
    again = findings(plan_of(one), Fanout(tmp_path / "cells", 2))
    assert first.evidence.rows == again.evidence.rows
    assert len(log.read_text().splitlines()) == 8
    findings(plan_of(one), Fanout(tmp_path / "cells", 2, fresh=True))
    assert len(log.read_text().splitlines()) == 16


def test_half_a_file_is_not_read_as_whole(tmp_path: Path) -> None:
    one = experiment(seeds=BySize((2,), (2,)))
    whole = findings(plan_of(one), Fanout(tmp_path, 1))
    for file in tmp_path.glob("*.json"):
        file.write_text(file.read_text()[: len(file.read_text()) // 2])
    assert findings(plan_of(one), Fanout(tmp_path, 1)).evidence.rows == whole.evidence.rows


def test_the_clock_leaves_cells_out_and_says_so(tmp_path: Path) -> None:
    one = experiment(seeds=BySize((4,), (4,)))
    found = findings(plan_of(one, claim(below(0))), Fanout(tmp_path, 2, deadline=time.monotonic() - 1))
    assert found.evidence.facts["left_out"] == {"e": 8}
    assert found.verdicts["c"].outcome == "undecided"


def test_what_a_measurement_raises_is_told_with_arm_and_seed(tmp_path: Path) -> None:
    with pytest.raises(CellFailedError, match=r"e: arm 'a', seed 0: ValueError: no such a"):
        findings(plan_of(experiment(measurements.fails)), Fanout(tmp_path, 1))


def test_a_worker_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="ended by itself"):
        findings(plan_of(experiment(measurements.dies)), Fanout(tmp_path, 2))


def test_one_thread_a_worker(tmp_path: Path) -> None:
    one = experiment(measurements.threads, seeds=BySize((1,), (1,)))
    found = findings(plan_of(one), Fanout(tmp_path, 1))
    assert {row.value for row in found.evidence.rows} == {1.0}


def test_workers_die_with_the_pool(tmp_path: Path) -> None:
    with Pool(Fanout(tmp_path, 2)) as pool:
        events = pool.run([cell(experiment(), arm, {}, 0, "quick", {}) for arm in ("a", "b")])
        next(events)
        processes = list(pool._processes)
        assert processes and all(process.poll() is None for process in processes)
    assert all(process.poll() is not None for process in processes)


def test_ctrl_c_leaves_no_worker_behind_and_keeps_finished_cells(tmp_path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import measurements
from pathlib import Path
from clearhead.experiments.experiment import Experiment, cell
from clearhead.experiments.fanout import Fanout, Pool
quick = cell(Experiment("e", measurements.noisy, ("a",)), "a", {{}}, 0, "quick", {{}})
slow = cell(Experiment("e", measurements.slow, ("a",)), "a", {{}}, 0, "quick", {{}})
with Pool(Fanout(Path({str(tmp_path)!r}), 1)) as pool:
    for one, done in pool.run([quick, slow]):
        print(pool._processes[0].pid, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    run.send_signal(signal.SIGINT)
    run.wait(timeout=20)
    run.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
    quick = cell(Experiment("e", measurements.noisy, ("a",)), "a", {}, 0, "quick", {})
    assert store.load(tmp_path, quick) is not None


def test_a_killed_parent_takes_its_workers_along(tmp_path: Path) -> None:
    script = f"""
import measurements
from pathlib import Path
from clearhead.experiments.experiment import Experiment, cell
from clearhead.experiments.fanout import Fanout, Pool
runs = (measurements.noisy, measurements.slow)
cells = [cell(Experiment("e", run, ("a",)), "a", {{}}, 0, "quick", {{}}) for run in runs]
with Pool(Fanout(Path({str(tmp_path)!r}), 1)) as pool:
    for one, done in pool.run(cells):
        print(pool._processes[0].pid, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()
    for _ in range(100):
        state = Path(f"/proc/{worker}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")


def test_a_text_too_short_for_one_experiment_leaves_the_others_standing(tmp_path: Path) -> None:
    short = Experiment("short", measurements.short_of_text, ("a", "b"), seeds=BySize((3,), (3,)), needs_text=True)
    other = experiment(dose={"shift": (1.0,)}, seeds=BySize((3,), (3,)))
    on_short = Claim("on_short", difference("short", "loss", "b", "a"), above(0), "", same("c"))
    found = findings(Plan([short, other], [on_short, claim(above(0.1))], CORPUS), Fanout(tmp_path, 2))
    assert found.verdicts["c"].outcome == "supported"
    assert found.verdicts["on_short"].outcome == "undecided"
    assert "a page more would do" in found.verdicts["on_short"].reason.en
    assert "a page more would do" in found.evidence.facts["too_little"]["short"]


def test_what_needs_a_checkpoint_is_out_of_scope_without_one(tmp_path: Path) -> None:
    needy = Experiment("needy", measurements.noisy, ("a", "b"), seeds=BySize((3,), (3,)), needs_checkpoint=True)
    on_needy = Claim("on_needy", difference("needy", "loss", "b", "a"), above(0), "", same("c"))
    found = findings(Plan([needy], [on_needy], CORPUS), Fanout(tmp_path, 1))
    assert found.verdicts["on_needy"].outcome == "out_of_scope"
    assert "--checkpoint" in found.verdicts["on_needy"].reason.en
    assert not found.evidence.rows


def test_arms_that_are_secretly_the_same_are_not_told_apart_and_planted_differences_are_found(tmp_path: Path) -> None:
    """The whole machinery, from cells over looks to Holm: fifteen questions to it, every third with something in it."""
    planted = {f"e{i}": 0.4 if i % 3 == 0 else 0.0 for i in range(15)}
    experiments = [
        Experiment(
            name,
            measurements.shared_noise,
            ("a", "b"),
            seeds=BySize((6, 12), (6, 12)),
            settings=BySize({"name": name, "shift": shift}, {"name": name, "shift": shift}),
        )
        for name, shift in planted.items()
    ]
    claims = [Claim(name, difference(name, "loss", "b", "a"), above(0), "", same("c")) for name in planted]
    verdicts = findings(Plan(experiments, claims, CORPUS), Fanout(tmp_path, 2)).verdicts
    assert {name for name, verdict in verdicts.items() if verdict.outcome == "supported"} == {
        name for name, shift in planted.items() if shift
    }
