"""What a provider or dialect file says, as the HTTP requests that come of it: tables in `wire_requests/`.

Each file is a list of cases: `files` (a workspace's, put over `_files` of the file's first case), a client's
`body` in the format `dialect`, and `sends`: for each attempt a part of what `explain` tells of it. `skipped`
names targets that were passed over with a part of the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compiler.pipeline import compile_folder
from engine.compiler.samples import difference
from engine.explain.driver import ScriptedUpstream, drive, scripted_snapshot
from engine.explain.wire import Previews, wire_requests
from engine.runtime.clock import VirtualClock

TABLES = sorted((Path(__file__).parent / "wire_requests").glob("*.yaml"))


def cases() -> list[Any]:
    found = []
    for table in TABLES:
        shared, *rest = yaml.safe_load(table.read_text())
        for case in rest:
            files = {**shared["_files"], **case.get("files", {})}
            found.append(pytest.param(files, case, id=f"{table.stem}: {case['case']}"))
    return found


@pytest.mark.parametrize(("files", "case"), cases())
def test_what_is_sent(files: dict[str, str], case: dict[str, Any], tmp_path: Path) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    compiled = compile_folder(tmp_path)
    assert compiled.plan is not None, [str(d) for d in compiled.diagnostics]
    plan, operation = compiled.plan, case.get("operation", "chat")
    snapshot = scripted_snapshot(plan, ScriptedUpstream(VirtualClock(), {}))
    dialect = case.get("dialect", "openai_chat")
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], **case["body"]}
    request = snapshot.dialect(dialect).read_request(operation, body, {})
    kept = dict(request)
    driven = drive(plan, request, dialect=dialect, body=body, refuses=Previews(snapshot).refuses)
    sent = wire_requests(snapshot, driven.asks)
    assert difference(case["sends"], sent) is None, sent
    for one, other in zip(case["sends"], sent, strict=True):
        if "body" in one:
            assert other["body"] == one["body"]
        assert other.get("dropped", []) == one.get("dropped", [])
    assert request == kept  # shared by all attempts
    told = [f"{step.why}" for step in driven.record.path]
    for reason in case.get("skipped", ()):
        assert any(reason in line for line in told), told
