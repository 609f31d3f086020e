"""`first-boot`: create a machine, start it, leave a mark inside the guest.

Knows: its task. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from labkit.course.exercise import Exercise
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, broken, done, not_begun, wrong
from labkit.language import _
from labkit.model.words import state_word

FILE = "/root/mark"


class FirstBoot(Exercise):
    """The warm-up of notebook 00."""

    slug: ClassVar[str] = "first-boot"
    alias: ClassVar[str] = "primer-arranque"
    starts_empty: ClassVar[bool] = True
    code: ClassVar[str] = (
        'vm = lab.create(ex.machine)\nvm.start()\nvm.wait_ready()\nvm.run(f"echo {ex.mark} > /root/mark; sync")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, named as the exercise."""
        return (self.slug,)

    @property
    def given(self) -> tuple[str, ...]:
        """None: the student makes it."""
        return ()

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Whether the file is one, and what it holds."""
        return {self.machine: {"mark": f"[ -f {FILE} ] && echo a file && cat {FILE}"}}

    def judge(self, before: Evidence, now: Reading) -> Result:  # noqa: ARG002
        """Look for the machine, whether it runs, and for the mark inside."""
        name = self.machine
        there = now.machines.get(name)
        if there is None:
            return not_begun(
                _("There is no machine {name}.").format(name=name),
                _("Create it: lab.create({name!r}).").format(name=name),
            )
        if not there.agent:
            return broken(
                _("{name} was made from an image that takes no commands.").format(name=name),
                _("Call ex.reset(), then create it from the image tiny."),
            )
        if not there.runs:
            return wrong(
                _("{name} is {state}.").format(name=name, state=state_word(there.state)),
                _("Start it, wait until it is ready, and look for the next hint."),
                "lab.machines[ex.machine].start().wait_ready()",
            )
        if there.said is None:
            return wrong(
                _("{name} does not answer yet.").format(name=name),
                _("Wait until it is ready: vm.wait_ready()."),
                "lab.machines[ex.machine].wait_ready()",
            )
        write = 'lab.machines[ex.machine].run(f"echo {ex.mark} > /root/mark; sync")'
        kind, _line, found = there.tells("mark").partition("\n")
        if not kind:
            return wrong(
                _("{name} runs, but inside there is no file /root/mark.").format(name=name),
                _('Run a command in the guest: vm.run("echo … > /root/mark").'),
                write,
            )
        if found.strip() != self.mark:
            return wrong(
                _("/root/mark holds {found!r}, not your mark.").format(found=found.strip()[:40]),
                _("Your mark is {mark}; ex.mark holds it, too.").format(mark=self.mark),
                write,
            )
        return done(_("{name} runs, and your mark is inside.").format(name=name))
