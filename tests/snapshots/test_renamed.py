"""A machine that was renamed keeps its snapshots: they come back under the name that it has now."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.errors import Refused
from tests.beside.hands import contents, make_machine


def test_a_snapshot_from_before_a_rename_is_restored_under_the_new_name(lab: Lab) -> None:
    vm = make_machine(lab, "web", "left", "right")
    before = contents(vm)
    vm.rename("app").snapshots.restore("left")
    assert list(lab.machines) == ["app"]
    assert "labkit.name=app" in (vm.facts.spec.boot.command_line or "") or not vm.facts.spec.boot.kernel
    assert contents(vm) == before | {"now": before["left"]}
    vm.start().kill()


def test_memory_from_before_a_rename_is_refused_with_both_ways_out_before_anything_is_discarded(lab: Lab) -> None:
    vm = make_machine(lab, "web", "left")
    vm.start()
    vm.snapshots.take("running")
    vm.kill()
    vm.rename("app")
    before = contents(vm)
    with pytest.raises(Refused, match="running was taken when app was called web") as refusal:
        vm.snapshots.restore("running")
    assert contents(vm) == before
    assert "restore('running', memory=False)" in refusal.value.hint
    assert "vm.rename('web')" in refusal.value.hint
    vm.snapshots.restore("running", memory=False)
    vm.rename("web").snapshots.restore("running")
    assert vm.state == "running"
    vm.kill()
