"""What drawings show as the state after a plan: each act that once was drawn wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.figures.lineage import draw_lineage_change
from labkit.model.image import Allocation, Format
from labkit.model.machine import Accelerator, DiskSpec, MachineChanges
from labkit.model.state import LabState
from labkit.plans import snapshot as snapshots
from labkit.plans.disk import DiskSurvey
from labkit.plans.disk_change import plan_compact, plan_convert, plan_resize
from labkit.plans.effect import state_after
from labkit.plans.machine import Survey, plan_configure
from labkit.plans.plan import Plan
from labkit.units import GIB, MIB
from tests.figures.lineages import Builder, path

SURVEY = DiskSurvey(free_bytes=100 * GIB)


def after(state: LabState, plan: Plan) -> str:
    """The text of the drawing's right side, without the boot files."""
    assert plan.refusal is None
    text = repr(draw_lineage_change(state, plan)).split(f"{plan.title}:\n")[1]
    return "\n".join(line for line in text.splitlines() if "boot files" not in line)


def web(format: Format = Format.QCOW2) -> LabState:
    """A machine with one disk of some format."""
    lab = Builder().machine("web")
    old = lab.machines["web"].spec.disks[0]
    new = replace(old, path=f"/lab/disks/web.vda.0.{format}", format=format)
    image = replace(lab.images.pop(old.path), path=new.path, format=format, files=(new.path,))
    lab.images[new.path] = image
    facts = lab.machines["web"]
    lab.machines["web"] = replace(facts, spec=replace(facts.spec, disks=(new,)))
    return lab.state


def test_compacted_disk_stays_its_machines() -> None:
    state = web()
    assert after(state, plan_compact(state, SURVEY, "web.vda")) == "web (machine)"


@pytest.mark.parametrize("format", [format for format in Format if format.attachable])
def test_resized_disk_stays_its_machines_with_more_capacity(format: Format) -> None:
    state = web(format)
    plan = plan_resize(state, SURVEY, "web.vda", 128 * MIB)
    assert after(state, plan) == "web (machine)"
    disk = state_after(state, plan).disks["web.vda"]
    assert (disk.machine, len(disk.layers)) == ("web", 1)
    assert disk.capacity >= 128 * MIB


def test_converted_disk_is_a_free_one() -> None:
    state = web()
    plan = plan_convert(state, SURVEY, "web.vda", "copy", Format.VDI, Allocation.DYNAMIC)
    assert after(state, plan) == "web (machine)\ncopy (free disk) ← new"


def test_configured_machine_has_what_was_asked_for_and_its_guest_does_not_yet() -> None:
    state = web()
    survey = Survey(host_memory=16 * GIB, host_cpus=4, free_bytes=GIB, accelerator=Accelerator.TCG)
    plan = plan_configure(state, survey, "web", MachineChanges(memory=96 * MIB))
    assert state_after(state, plan).machines["web"].spec.memory == 96 * MIB


def test_disk_detached_since_comes_back_and_the_free_one_stays_under_another_name() -> None:
    lab = Builder().machine("web", disks=2).take("web", "clean")
    facts = lab.machines["web"]
    lab.machines["web"] = replace(facts, spec=replace(facts.spec, disks=facts.spec.disks[:1]))
    state = lab.state
    plan = snapshots.plan_restore(state, snapshots.SnapshotSurvey(free_bytes=GIB), "web", "clean")
    assert "nothing needs it" not in after(state, plan)
    disks = state_after(state, plan).disks
    assert [disk.target for disk in disks.values()] == ["vda", "vdb", None]


def test_disk_attached_since_is_free_again() -> None:
    lab = Builder().machine("web").take("web", "clean")
    lab.image(path("data", 0))
    facts = lab.machines["web"]
    data = DiskSpec(name="data", target="vdb", path=path("data", 0), format=Format.QCOW2)
    lab.machines["web"] = replace(facts, spec=replace(facts.spec, disks=(*facts.spec.disks, data)))
    state = lab.state
    plan = snapshots.plan_restore(state, snapshots.SnapshotSurvey(free_bytes=GIB), "web", "clean")
    assert state_after(state, plan).disks["data"].machine is None
    assert after(state, plan).endswith("data (free disk) ← new")
