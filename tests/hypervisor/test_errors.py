"""libvirt's errors as ours: provoked for real, told apart by their code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import libvirt
import pytest

from labkit import Lab
from labkit.errors import (
    AlreadyExists,
    ConnectionLost,
    GuestError,
    GuestSilent,
    HypervisorError,
    LabError,
    NoSpace,
    NotFound,
    WrongState,
)
from labkit.hypervisor.channels import agent_command
from labkit.hypervisor.errors import translate
from labkit.machine import Machine


def test_a_machine_that_is_not_there_is_not_found(lab: Lab) -> None:
    with pytest.raises(NotFound, match="web: "):
        lab.session.domains.kill("00000000-0000-4000-8000-000000000000", subject="web")


def test_a_name_that_is_taken_already_exists(lab: Lab) -> None:
    web = lab.create("web", image="sector", memory="16 MiB")
    xml = web.definition.replace(web.id, "00000000-0000-4000-8000-000000000000")
    with pytest.raises(AlreadyExists):
        lab.session.connection.call(lambda raw: raw.defineXML(xml))


def test_a_verb_that_does_not_fit_the_state_is_the_wrong_state(lab: Lab) -> None:
    web = lab.create("web", image="sector", memory="16 MiB")
    with pytest.raises(WrongState):
        lab.session.domains.pause(web.id, subject="web")


def test_what_libvirt_does_not_understand_keeps_its_number_and_its_words(lab: Lab) -> None:
    with pytest.raises(HypervisorError) as caught:
        lab.session.connection.call(lambda raw: raw.defineXML("<domain/>"))
    assert caught.value.code > 0
    assert caught.value.details


def ask(machine: Machine, command: str) -> None:
    agent_command(machine.lab.session.domains, machine.id, {"execute": command}, subject=machine.name, timeout=20)


def test_an_agent_whose_guest_is_cut_off_under_a_command_is_silent(guest: Machine) -> None:
    guest.pause()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, guest, "guest-ping")
        guest.kill()
        error = waiting.exception(60)
    assert isinstance(error, GuestSilent | WrongState), error  # WrongState: it was gone before the command came
    assert guest.start().wait_ready().run("true")


def test_what_the_agent_refuses_is_told_in_its_own_words(shared_guest: Machine) -> None:
    with pytest.raises(GuestError, match="no-such-command") as caught:
        ask(shared_guest, "no-such-command")
    assert not isinstance(caught.value, GuestSilent)


def made(code: int, text: str = "words", number: int = 0) -> libvirt.libvirtError:
    """An error as libvirt hands it over: (code, domain, message, level, str1, str2, str3, int1, int2)."""
    error = libvirt.libvirtError(text)
    error.err = (code, 0, text, 2, None, None, None, number, 0)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (made(libvirt.VIR_ERR_RPC), ConnectionLost),
        (made(libvirt.VIR_ERR_NO_CONNECT), ConnectionLost),
        (made(libvirt.VIR_ERR_NO_DOMAIN), NotFound),
        (made(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT), NotFound),
        (made(libvirt.VIR_ERR_OPERATION_INVALID), WrongState),
        (made(libvirt.VIR_ERR_SYSTEM_ERROR, number=28), NoSpace),
        (made(libvirt.VIR_ERR_SYSTEM_ERROR, number=5), HypervisorError),
        (made(libvirt.VIR_ERR_INTERNAL_ERROR), HypervisorError),
    ],
)
def test_errors_that_cannot_be_provoked_here_have_their_class_too(
    error: libvirt.libvirtError, kind: type[LabError]
) -> None:
    ours = translate(error, subject="web")
    assert type(ours) is kind
    assert ours.message.startswith("web: ")
    assert ours.details == "words"
    assert ours.hint
