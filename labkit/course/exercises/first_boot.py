"""`primer-arranque`: create a machine, start it, leave a mark inside the guest.

Knows: its task. Must not know: notebooks.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.course.exercise import Exercise, Result
from labkit.errors import GuestSilent
from labkit.language import _
from labkit.model.machine import MachineState
from labkit.model.words import state_word


class FirstBoot(Exercise):
    """The warm-up of notebook 00."""

    slug: ClassVar[str] = "primer-arranque"
    code: ClassVar[str] = (
        'vm = lab.create(ex.machine)\nvm.start()\nvm.wait_ready()\nvm.run(f"echo {ex.mark} > /root/mark; sync")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, named as the exercise."""
        return (self.slug,)

    def look(self) -> Result:
        """Look for the machine, whether it runs, and for the mark inside."""
        name = self.machine
        state = self.lab.state
        if name not in state.machines:
            return self.not_begun(
                _("There is no machine {name}.").format(name=name),
                _("Create it: lab.create({name!r}).").format(name=name),
            )
        facts = state.machines[name]
        if not facts.spec.agent:
            return self.broken(
                _("{name} was made from {image}, which takes no commands.").format(name=name, image=facts.spec.image),
                _("Call ex.reset(), then create it from the image tiny."),
            )
        if facts.state is not MachineState.RUNNING:
            return self.wrong(
                _("{name} is {state}.").format(name=name, state=state_word(facts.state)),
                _("Start it, wait until it is ready, and look for the next hint."),
            )
        try:
            found = self.lab.machines[name].run("cat /root/mark")
        except GuestSilent as silence:
            return self.wrong(silence.message, _("Wait until it is ready: vm.wait_ready()."))
        if found.exit_code != 0:
            return self.wrong(
                _("{name} runs, but inside there is no file /root/mark.").format(name=name),
                _('Run a command in the guest: vm.run("echo … > /root/mark").'),
            )
        if found.stdout.strip() != self.mark:
            return self.wrong(
                _("/root/mark holds {found!r}, not your mark.").format(found=found.stdout.strip()[:40]),
                _("Your mark is {mark}; ex.mark holds it, too.").format(mark=self.mark),
            )
        return self.done(_("{name} runs, and your mark is inside.").format(name=name))
