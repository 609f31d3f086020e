"""Where the sockets of guests are: in definitions, and how much room is left for those that libvirt names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.hypervisor.domain_xml import build_domain_xml, parse
from labkit.hypervisor.sockets import (
    SOCKET_LIMIT,
    agent_socket,
    find_agent_socket,
    find_lack_of_room,
    instance_folder,
    monitor_socket,
    name_room,
    place_sockets,
)
from labkit.plans.machine_excuses import why_not_named_here
from tests.plans.states import lab, machine

SPEC = machine("web").spec
RUNTIME = Path("/run/user/1000")


def test_each_machine_has_a_path_of_its_own_on_each_instance() -> None:
    ids = ("11111111-2222-4333-8444-555555555555", "11111111-2223-4333-8444-555555555555")
    folders = (RUNTIME, RUNTIME / "n12345r")
    paths = {agent_socket(each, folder) for each in ids for folder in folders}
    assert len(paths) == 4
    assert max(len(str(path)) for path in paths) < 50


def test_a_definition_gets_its_socket_once_and_another_on_another_instance() -> None:
    plain = build_domain_xml(SPEC)
    assert find_agent_socket(plain) is None
    here = place_sockets(plain, RUNTIME)
    assert find_agent_socket(here) == str(agent_socket(SPEC.id, RUNTIME))
    assert place_sockets(here, RUNTIME) is here
    there = place_sockets(here, RUNTIME / "n12345r")
    assert find_agent_socket(there) == str(agent_socket(SPEC.id, RUNTIME / "n12345r"))
    assert find_agent_socket(place_sockets(there, None)) is None  # there libvirt chooses


def test_the_long_path_that_an_older_labkit_left_to_libvirt_is_exchanged() -> None:
    root = parse(build_domain_xml(SPEC))
    channel = root.find("devices/channel")
    assert channel is not None
    channel.append(channel.makeelement("source", mode="bind", path="/home/somebody/.config/libvirt/qemu/channel/x"))
    from lxml import etree

    placed = place_sockets(etree.tostring(root, encoding="unicode"), RUNTIME)
    assert len(parse(placed).findall("devices/channel/source")) == 1
    assert find_agent_socket(placed) == str(agent_socket(SPEC.id, RUNTIME))


def test_channels_that_are_not_the_agents_are_left_alone() -> None:
    own = "<channel type='unix'><source mode='bind' path='/x'/><target type='virtio' name='own.0'/></channel>"
    xml = place_sockets(build_domain_xml(SPEC), RUNTIME).replace("</devices>", f"{own}</devices>")
    assert place_sockets(xml, RUNTIME) is xml
    assert own.split("<target", maxsplit=1)[0].replace("'", '"') in place_sockets(xml, RUNTIME / "n").replace("'", '"')


def test_the_runtime_folder_is_told_by_the_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert instance_folder("qemu:///session") == Path("/run/user/7")
    assert instance_folder("qemu+unix:///session?socket=/r/n1r/libvirt/libvirt-sock") == Path("/r/n1r")
    assert instance_folder("qemu+unix:///session?socket=/r/other.sock") is None
    assert instance_folder("qemu:///system") is None


@pytest.mark.parametrize(
    ("home", "room"),
    [(10, 49), (20, 39), (30, 29), (39, 20), (40, 19), (56, 3), (58, 1), (59, 0), (80, -21)],
)
def test_what_is_left_for_a_name_by_the_length_of_a_home(home: int, room: int) -> None:
    """Seen with libvirt 9.0: with a home of 39 bytes every name starts, with 40 none of 20 bytes, with 59 none."""
    config = Path("/" + "h" * (home - 1)) / ".config"
    assert name_room(config) == room
    longest = monitor_socket(config, "x" * max(room, 0), number=1)
    assert (len(os.fsencode(longest)) <= SOCKET_LIMIT) == (room >= 0)
    assert (find_lack_of_room("x", config) is None) == (room >= 1)
    assert (find_lack_of_room("n" * 60, config) is None) == (room >= 20)


def test_a_name_that_could_never_start_is_refused_with_both_ways_out() -> None:
    refusal = why_not_named_here(lab(name="default"), "a-long-name", room=5, folder="/home/x/.config")
    assert refusal is not None
    assert "a-long-name" in refusal.why
    assert "/home/x/.config" in refusal.hint
    assert "5 bytes" in refusal.hint
    assert why_not_named_here(lab(name="default"), "short", room=5, folder="/home/x/.config") is None
    none = why_not_named_here(lab(name="default"), "x", room=0, folder="/home/x/.config")
    assert none is not None
    assert len(none.ways_out) == 1
