"""The words of the model in the reader's language: states, reasons, acts.

Knows: the model, the catalogues. Must not know: where they are shown.
"""

from __future__ import annotations

from labkit.language import _, ngettext
from labkit.model.happenings import Happening, HappeningKind
from labkit.model.image import Allocation, ImageFacts
from labkit.model.machine import MachineFacts, MachineState, Reason


def state_word(state: MachineState) -> str:
    """Return the word for a machine's state."""
    return {
        MachineState.OFF: _("off"),
        MachineState.RUNNING: _("running"),
        MachineState.PAUSED: _("paused"),
        MachineState.SAVED: _("saved"),
    }[state]


def stand_word(facts: MachineFacts) -> str:
    """Return the words for a machine's state; if it is out of reach they say so: "running, out of reach"."""
    state = state_word(facts.state)
    if not facts.is_out_of_reach:
        return state
    if facts.process is None:
        return _("{state}, out of reach").format(state=state)
    return _("{state}, out of reach (process {pid})").format(state=state, pid=facts.process)


def count_words(state: MachineState, count: int) -> str:
    """Return how many machines are in a state, e.g. "3 off"."""
    return {
        MachineState.OFF: ngettext("{count} off", "{count} off", count),
        MachineState.RUNNING: ngettext("{count} running", "{count} running", count),
        MachineState.PAUSED: ngettext("{count} paused", "{count} paused", count),
        MachineState.SAVED: ngettext("{count} saved", "{count} saved", count),
    }[state].format(count=count)


def reason_word(reason: Reason) -> str:
    """Return the words for why a machine is in its state; empty if that is not known or goes without saying."""
    return {
        Reason.UNKNOWN: "",
        Reason.BOOTED: _("booted"),
        Reason.SHUT_DOWN: _("it shut down"),
        Reason.KILLED: _("its power was cut"),
        Reason.CRASHED: _("it crashed"),
        Reason.PANICKED: _("its kernel panicked"),
        Reason.FAILED: _("it could not start"),
        Reason.MIGRATED: _("it migrated"),
        Reason.SAVED: _("its memory was saved"),
        Reason.RESTORED: _("it was restored"),
        Reason.BY_USER: "",
        Reason.IO_ERROR: _("input/output error of a disk"),
        Reason.NO_SPACE: _("no space left for a disk on the host"),
        Reason.SHUTTING_DOWN: _("it is shutting down"),
        Reason.OUT_OF_REACH: _("out of reach"),
    }[reason]


def allocation_word(image: ImageFacts) -> str:
    """Return how an image was made, "fixed" or "dynamic"; "full" where that is all that can be known of it."""
    if not image.tells:
        return _("full")
    return _("fixed") if image.allocation is Allocation.FIXED else _("dynamic")


def act_word(act: str) -> str:
    """Return the word for an act of a plan, e.g. "create"; an unknown one comes back as it is."""
    return {
        "accept": _("accept"),
        "adopt": _("adopt"),
        "attach": _("attach"),
        "clean": _("clean"),
        "clone": _("clone"),
        "compact": _("compact"),
        "configure": _("configure"),
        "convert": _("convert"),
        "create": _("create"),
        "delete": _("delete"),
        "describe": _("describe"),
        "detach": _("detach"),
        "discard": _("discard"),
        "export": _("export"),
        "flatten": _("flatten"),
        "import": _("import"),
        "migrate": _("migrate"),
        "relink": _("relink"),
        "rename": _("rename"),
        "resize": _("resize"),
        "restore": _("restore"),
        "start": _("start"),
        "take": _("take"),
    }.get(act, act)


def under_way(act: str, name: str) -> str:
    """Return the words for a switch of a machine that is under way."""
    words = {
        "start": _("Starting {name}"),
        "stop": _("Shutting {name} down"),
        "pause": _("Pausing {name}"),
        "resume": _("Resuming {name}"),
        "save": _("Saving {name}"),
        "kill": _("Cutting the power of {name}"),
    }
    return words[act].format(name=name)


def happening_word(happening: Happening) -> str:
    """Return the words for what happened to a machine."""
    words = {
        HappeningKind.SEEN: _("was there when looking began"),
        HappeningKind.STARTED: _("started"),
        HappeningKind.CONTINUED: _("went on where it was saved"),
        HappeningKind.RESTORED: _("back at snapshot {about}") if happening.about else _("restored"),
        HappeningKind.PAUSED: _("was paused"),
        HappeningKind.STOPPED_BY_DISK: _("stopped: a disk cannot be written"),
        HappeningKind.RESUMED: _("went on"),
        HappeningKind.SAVED: _("was saved"),
        HappeningKind.SHUT_DOWN: _("shut down"),
        HappeningKind.KILLED: _("its power was cut"),
        HappeningKind.CRASHED: _("crashed"),
        HappeningKind.FAILED: _("could not start"),
        HappeningKind.OFF: _("went off"),
        HappeningKind.MIGRATED: _("moved to {about}") if happening.about else _("moved away"),
        HappeningKind.ARRIVED: _("arrived from another host"),
        HappeningKind.CREATED: _("created"),
        HappeningKind.CLONED: _("made as a clone of {about}"),
        HappeningKind.COPIED: _("cloned: {about}"),
        HappeningKind.DELETED: _("deleted"),
        HappeningKind.RENAMED: _("renamed, it was {about}"),
        HappeningKind.CHANGED: _("memory or vCPUs changed"),
        HappeningKind.ATTACHED: _("disk {about} attached"),
        HappeningKind.DETACHED: _("disk {about} detached"),
        HappeningKind.TAKEN: _("snapshot {about} taken"),
        HappeningKind.DROPPED: _("snapshot {about} deleted"),
    }
    return words[happening.kind].format(about=happening.about)
