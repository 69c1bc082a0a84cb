"""The background job of the page's tools keeps what each found."""

import threading

import pytest

from sas_core.errors import BadInput
from sas_core.evaluation.tool_job import ToolJob, ToolStep


def test_the_job_keeps_the_last_report_of_each_tool_and_a_stopped_run_leaves_it() -> None:
    job = ToolJob()

    def steps(report, wait=None):
        yield ToolStep("counting", 1, 2)
        if wait is not None:
            wait.wait(20)
        yield ToolStep("counting", 2, 2)
        yield report

    job.start("a", "first", steps("found"))
    assert job.wait(20) and job.state == "done"
    job.start("b", "other", steps("else"))
    assert job.wait(20)
    go = threading.Event()
    job.start("a", "second", steps("never", go))
    with pytest.raises(BadInput, match="running already"):
        job.start("b", "third", steps("no"))
    job.stop()
    go.set()
    assert job.wait(20) and job.state == "stopped"
    kept = job.finished("a")
    assert (kept.asked, kept.report, job.finished("b").report) == ("first", "found", "else")
