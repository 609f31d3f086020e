"""`Where to add things` in CONTRIBUTING is true: one of each kind is added to a copy, in the files named there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project.files import ROOT

_ROW = re.compile(r"^\| an? \*\*(?P<kind>[^*]+)\*\* \| (?P<files>[^|]+) \|", re.MULTILINE)
_HIDDEN = shutil.ignore_patterns("__pycache__", "static")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy of labkit and its guest images to which something is added; remembers where."""

    folder: Path
    touched: set[str]

    def add(self, path: str, text: str) -> None:
        """Make a file."""
        file = self.folder / path
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.touched.add(path)

    def insert(self, path: str, before: str, text: str) -> None:
        """Put text into a file, before its first `before`; at its end, where that is empty."""
        file = self.folder / path
        old = file.read_text()
        assert before in old, f"{path} does not say {before!r} any more"
        at = old.index(before) if before else len(old)
        file.write_text(old[:at] + text + old[at:])
        self.touched.add(path)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python on the copy."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), **variables}
        argv = [sys.executable, *arguments]
        return subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def says(self, script: str, **variables: str) -> str:
        """Return what a script prints."""
        done = self.run("-c", script, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    for folder in ("labkit", "images"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=_HIDDEN)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return Copy(folder=tmp_path, touched=set())


def named(kind: str) -> list[str]:
    """Return the files that CONTRIBUTING names for a kind, as it writes them."""
    rows = {row["kind"]: row["files"] for row in _ROW.finditer((ROOT / "CONTRIBUTING.md").read_text())}
    return re.findall(r"`([^`]+)`", rows[kind])


def add_step(copy: Copy) -> None:
    copy.insert("labkit/plans/steps/image.py", "", _STEP)
    copy.insert("labkit/plans/steps/__init__.py", "    ConvertImage,\n", "    BlessImage,\n")
    copy.insert("labkit/plans/steps/__init__.py", '    "BringImage",\n', '    "BlessImage",\n')
    copy.insert("labkit/plans/steps/__init__.py", "CopyImage | WriteMessage", "BlessImage | ")
    mypy = ("-m", "mypy", "labkit/engine/steps")
    missing = copy.run(*mypy).stdout
    assert re.findall(r"image\.py:\d+: error: Argument 1 to \"assert_never\".*\"BlessImage\"", missing), missing
    assert missing.count("assert_never") == 3, missing  # to do it, to know that it was done, to undo it
    module = "labkit/engine/steps/image.py"
    text = (copy.folder / module).read_text()
    parts = text.split("        case _:\n")
    cases = [
        "        case BlessImage():\n            Path(step.path).touch()\n",
        "        case BlessImage():\n            return Path(step.path).exists()\n",
        "        case BlessImage():\n            pass\n",
    ]
    joined = "".join(part + case + "        case _:\n" for part, case in zip(parts, cases, strict=False)) + parts[-1]
    (copy.folder / module).write_text(joined.replace("    BringImage,\n", "    BlessImage,\n    BringImage,\n", 1))
    copy.touched.add(module)
    done = copy.run(*mypy)
    assert done.returncode == 0, done.stdout


_STEP = '''

@dataclass(frozen=True, slots=True, kw_only=True)
class BlessImage(BaseStep):
    """Let an image be of today."""

    path: str
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("touch", self.path)

    @property
    def word(self) -> str:
        return _("blessing an image")

    @property
    def touches(self) -> Touched:
        return Touched(rewrites=(self.path,))

    def after(self, state: LabState) -> LabState:
        return state
'''


def add_act(copy: Copy) -> None:
    copy.insert(
        "labkit/plans/machine.py",
        "",
        '\n\ndef plan_bless(state: LabState, name: str) -> Plan:\n    """Plan nothing."""\n'
        '    return machine_plan("bless", state, name)\n',
    )
    copy.insert("labkit/acts/machine.py", "", _ACT)
    copy.insert("labkit/machine.py", "    delete = act(_after_delete)", "    bless = act(_after)(machine_acts.bless)\n")
    copy.insert("labkit/model/words.py", '        "clean": _("clean"),', '        "bless": _("bless"),\n')
    script = "from labkit import Lab; vm = Lab.open('added').create('web', image='sector'); "
    try:
        assert copy.says(script + "print(vm.bless.plan().title, vm.bless().name)") == "bless web web"
    finally:
        copy.says("from labkit import Lab; Lab.open('added').clean()")


_ACT = '''

def bless(machine: OfMachine, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Bless it."""
    return machine_plans.plan_bless(*machine.handle.find())
'''


def add_panel(copy: Copy) -> None:
    copy.add("labkit/widgets/blessing/__init__.py", "")
    copy.add("labkit/widgets/blessing/panel.py", _PANEL)
    exported = "labkit/widgets/__init__.py"
    line = "from labkit.widgets.blessing.panel import BlessingPanel\n"
    copy.insert(exported, "from labkit.widgets.clone", line)
    copy.insert(exported, '    "ClonePanel"', '    "BlessingPanel",\n')
    script = "from labkit.widgets import BlessingPanel; print(BlessingPanel()._repr_mimebundle_()['text/html'])"
    assert "Be blessed." in copy.says(script)


_PANEL = '''"""`BlessingPanel`: a panel."""

from labkit.widgets.panel import Panel
from labkit.widgets.tree import Node, tag


class BlessingPanel(Panel):
    """Blesses."""

    def line(self) -> str:
        return "Be blessed."

    def body(self, *, live: bool) -> Node:
        return tag("p", self.line())
'''


def add_exercise(copy: Copy) -> None:
    copy.add(
        "labkit/course/exercises/blessings.py",
        "from labkit.course.exercises.first_boot import FirstBoot\n\n\n"
        'class Blessing(FirstBoot):\n    """Bless."""\n\n    slug = "bendicion"\n',
    )
    text = 'notebook = "00"\ntitle.en = "Blessing"\ntitle.es = "Bendición"\ntask.en = "Bless."\ntask.es = "Bendice."\n'
    text += 'look.en = "At the hands."\nlook.es = "A las manos."\n'
    copy.insert("labkit/course/texts/exercises.toml", "", f"\n[bendicion]\n{text}")
    script = "from labkit.course.catalogue import exercise; ex = exercise('bendicion'); print(ex.title, ex.task())"
    assert copy.says(script, LABKIT_LANGUAGE="es").startswith("Bendición Bendice.")


def add_language(copy: Copy) -> None:
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    po = '#\nmsgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "create"\nmsgstr "criar"\n'
    copy.add("labkit/locale/pt/LC_MESSAGES/labkit.po", po)
    folder = copy.folder / "labkit/locale/pt/LC_MESSAGES"
    with (folder / "labkit.po").open("rb") as source, (folder / "labkit.mo").open("wb") as target:
        write_mo(target, read_po(source))
    copy.insert("labkit/language.py", '"es": "Español"}', '"pt": "Português", ')
    script = "from labkit.model.words import act_word; print(act_word('create'))"
    assert copy.says(script, LABKIT_LANGUAGE="pt") == "criar"


def add_guest_image(copy: Copy) -> None:
    copy.add("images/abacus/__init__.py", "")
    copy.add("images/abacus/recipe.py", _RECIPE)
    copy.insert("images/build.py", "from sector import", "from abacus import recipe as abacus\n")
    copy.insert("images/build.py", '"tiny": tiny.build', '"abacus": abacus.build, ')
    store = copy.folder / "store"
    done = copy.run("images/build.py", "--into", str(store), "abacus")
    assert done.returncode == 0, done.stderr
    script = (
        "from pathlib import Path; from labkit.storage.guest_images import *; "
        f"print(*read_course_list(Path({str(store)!r})), read_guest_images(Path({str(store)!r}))['abacus'].capacity)"
    )
    assert copy.says(script) == "abacus sector tiny 1048576"


_RECIPE = '''"""The recipe of `abacus`."""

from pathlib import Path

from builder.store import Manifest, Store


def build(store: Store, scratch: Path) -> Manifest:
    disk = scratch / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    return {
        "boot": "bios",
        "kernel": None,
        "kernel_packed": None,
        "initramfs": None,
        "command_line": "",
        "agent": False,
        "message": None,
        "disk": {"file": store.keep("disk.raw", disk), "format": "raw", "capacity": 1 << 20},
        "minimum_memory": 1 << 20,
        "packages": {},
    }
'''


def add_architecture(copy: Copy) -> None:
    copy.insert("labkit/model/architecture.py", "ARCHITECTURES = {", _ARCHITECTURE)
    copy.insert("labkit/model/architecture.py", "(X86_64,)", "(AARCH64, X86_64) or ")
    script = (
        "from dataclasses import replace; from tests.plans.states import machine; "
        "from labkit.hypervisor.domain_xml.building import build_domain_xml as build; "
        "spec = replace(machine('web').spec, architecture='aarch64'); text = build(spec); "
        "from labkit.hypervisor.domain_xml.parsing import parse_domain; from lxml import etree; "
        "print('<gic/>' in text, parse_domain(etree.fromstring(text)).architecture)"
    )
    shutil.copytree(ROOT / "tests/plans", copy.folder / "tests/plans", ignore=_HIDDEN)
    shutil.copy(ROOT / "tests/__init__.py", copy.folder / "tests")
    assert copy.says(script) == "True aarch64"


_ARCHITECTURE = """AARCH64 = Architecture(
    name="aarch64",
    title="ARM, 64 bits",
    machine_type="virt",
    cpu_model="max",
    console="ttyAMA0",
    features=("acpi", "gic"),
    package="qemu-system-arm",
)

"""


def add_disk_format(copy: Copy) -> None:
    copy.insert("labkit/model/image.py", '    VHDX = "vhdx"\n', '    PARALLELS = "parallels"\n')
    copy.insert("labkit/model/image_commands.py", "    Format.VDI: (", "    Format.PARALLELS: (),\n")
    reading = "labkit/storage/containers.py"
    copy.insert(reading, "# VMDK ---", _READER)
    copy.insert(reading, "    Format.VDI: _read_vdi,", "    Format.PARALLELS: _read_parallels,\n")
    script = (
        "from labkit import Lab; print(Lab.open('added').disks.create('old', capacity='4 MiB', format='parallels'))"
    )
    try:
        assert "(parallels, dynamic, 4 MiB)" in copy.says(script)
    finally:
        copy.says("from labkit import Lab; Lab.open('added').clean()")


_READER = """
def _read_parallels(file: int) -> Header:
    return Header(capacity=512 * struct.unpack_from("<Q", os.pread(file, 64, 0), 36)[0])


"""


ADDITIONS: Mapping[str, Callable[[Copy], None]] = {
    "step": add_step,
    "act": add_act,
    "panel": add_panel,
    "disk format": add_disk_format,
    "exercise": add_exercise,
    "language": add_language,
    "guest image": add_guest_image,
    "architecture": add_architecture,
}


@pytest.mark.parametrize("kind", ADDITIONS)
def test_a_thing_is_added_where_it_is_said(copy: Copy, kind: str) -> None:
    ADDITIONS[kind](copy)
    patterns = [re.sub("FAMILY|NOUN|NAME|CODE", "[a-z_]+", path.replace(".", "[.]")) for path in named(kind)]
    strange = [path for path in copy.touched if not any(re.fullmatch(pattern, path) for pattern in patterns)]
    unused = [pattern for pattern in patterns if not any(re.fullmatch(pattern, path) for path in copy.touched)]
    assert (strange, unused) == ([], [])
