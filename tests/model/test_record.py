"""What a record becomes when the hypervisor knows something else than before: a table of who did it."""

from __future__ import annotations

import pytest

from labkit.model.record import LabRecord, MachineRecord, update_record
from labkit.model.travel import SnapshotRecord


def machine(name: str, *snapshots: str, returning: bool = False) -> MachineRecord:
    """Return a machine with some snapshots."""
    records = tuple(SnapshotRecord(name=each, parent=None, xml=f"<{each}/>", current=False) for each in snapshots)
    return MachineRecord(
        id=f"id of {name}", name=name, domain=name, xml="<domain/>", snapshots=records, returning=returning
    )


OLD = LabRecord(lab_id="lab", home="/lab", machines=(machine("a", "one", "two"), machine("b")))


@pytest.mark.parametrize(
    ("found", "own", "others", "machines", "lost"),
    [
        ((machine("a", "one", "two"), machine("b")), (), (), "a:one,two b:", ""),
        ((machine("a", "one"), machine("b")), (), (), "a:one b:", "two"),  # forgotten by another hand
        ((machine("a", "one"), machine("b")), ("a",), (), "a:one b:", ""),  # deleted by this act
        ((machine("a", "one"), machine("b")), (), ("a",), "a:one,two b:", ""),  # another act is at work: it says
        ((machine("b"),), (), (), "a:one,two b:", ""),  # undefined by another hand: kept, to be brought back
        ((machine("b"),), ("a",), (), "b:", ""),  # deleted by this act
        ((machine("b"),), (), ("a",), "a:one,two b:", ""),
        ((machine("a", "one", "two"), machine("b"), machine("c")), ("c",), (), "a:one,two b: c:", ""),
        ((machine("a", "one", "two"), machine("b"), machine("c")), (), ("c",), "a:one,two b:", ""),
    ],
)
def test_what_vanished_is_kept_unless_this_act_removed_it(
    found: tuple[MachineRecord, ...], own: tuple[str, ...], others: tuple[str, ...], machines: str, lost: str
) -> None:
    by_id = {each.id: each for each in found}
    asked = frozenset(each.id for each in OLD.machines)
    new = update_record(OLD, by_id, asked=asked, own=frozenset(own), others=frozenset(others))
    assert " ".join(f"{each.name}:{','.join(s.name for s in each.snapshots)}" for each in new.machines) == machines
    assert ",".join(each.record.name for each in new.lost) == lost


def test_a_hypervisor_that_was_not_asked_has_forgotten_nothing() -> None:
    assert update_record(OLD, {}, asked=frozenset(), own=frozenset(), others=frozenset()) == OLD


def test_a_machine_that_is_just_returning_is_not_taken_for_what_there_is_of_it() -> None:
    old = LabRecord(lab_id="lab", home="/lab", machines=(machine("a", "one", returning=True),))
    half = machine("a")
    new = update_record(old, {half.id: half}, asked=frozenset({half.id}), own=frozenset(), others=frozenset())
    assert new == old


def test_a_lost_snapshot_that_is_known_again_is_lost_no_more() -> None:
    half = {each.id: each for each in (machine("a", "one"), machine("b"))}
    whole = {each.id: each for each in OLD.machines}
    asked, nobody = frozenset(whole), frozenset[str]()
    lost = update_record(OLD, half, asked=asked, own=nobody, others=nobody)
    assert update_record(lost, whole, asked=asked, own=nobody, others=nobody).lost == ()
