"""A kernel is killed before each of its deeds while another acts on a second machine: nothing is lost for either."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.beside.swept import Pair, make_pair
from tests.snapshots.struck import THOROUGH

ACTS = {
    "take": 'vm.snapshots.take.plan("new")',
    "restore": 'vm.snapshots.restore.plan("c", save_current="new")',
    "delete with merge": 'vm.snapshots.delete.plan("b", merge="always")',
    "linked clone": 'vm.clone.plan("copy", kind="linked", snapshot="a")',
    "delete": "vm.delete.plan()",
    "detach": 'vm.detach.plan("data")',
    "attach": 'vm.attach.plan("free")',
    "resize": 'lab.disks["free"].resize.plan("2 MiB")',
    "resize, another format": 'lab.disks["data"].resize.plan("2 MiB")',
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The lab of two machines, made once."""
    with make_pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("act", ACTS)
def test_a_kernel_killed_beside_another_leaves_before_or_after(
    pair: Pair, act: str, record_property: Callable[[str, object], None]
) -> None:
    counts = pair.counts.copy()
    before, after, deeds = pair.undisturbed(ACTS[act])
    steps = [deed.partition(":")[0] for deed in deeds]
    instants = [number for number, step in enumerate(steps) if THOROUGH or step not in steps[:number]]
    problems = {f"{number} {deeds[number]}": pair.strike(ACTS[act], number, before, after) for number in instants}
    record_property("history", dict(pair.counts - counts))
    wrong = {where: problem for where, problem in problems.items() if problem}
    assert not wrong, "\n".join(f"{where}: {problem}" for where, problem in wrong.items())
