"""A sound archive of a machine that can be put together with changes, and an import of it without a hypervisor."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit.engine import archives
from labkit.engine.steps import do_step, undo
from labkit.hypervisor.domain_xml.building import build_domain_xml
from labkit.limits import Limit
from labkit.model.image import Format
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineSpec
from labkit.model.state import LabState
from labkit.plans.importing import ImportSurvey, plan_import
from labkit.plans.steps import DefineAdopted, UnpackBootFile, UnpackImage, UnpackMemory
from labkit.storage import memory_file
from labkit.storage.archive import Source, Written, write_archive
from labkit.storage.headers import read_image
from labkit.units import GIB, MIB
from tests.files_only import files_context
from tests.storage.tools import make_image, qemu_io

Json = dict[str, Any]
_ID = "4bdc4b71-4a3f-4b5b-9d3e-0d6d1d3f2a10"


class Forge:
    """The parts of a sound archive, to be put together with changes: a tree of two layers, a memory, a VMDK of two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("disks", "memory", "boot"):
            (folder / part).mkdir(parents=True)
        disks = folder / "disks"
        base = make_image(disks / "web.vda.0.raw", Format.RAW, MIB)
        qemu_io(base, Format.RAW, "write -P 7 64k 64k")
        make_image(disks / "web.vda.1.qcow2", Format.QCOW2, MIB, f"backing_file={base},backing_fmt=raw")
        make_image(disks / "data.0.vmdk", Format.VMDK, MIB, "subformat=monolithicFlat")
        make_image(disks / "more.0.vdi", Format.VDI, MIB)
        kernel = b"kernel" * 100
        (folder / "boot" / f"{hashlib.sha256(kernel).hexdigest()[:16]}-vmlinux").write_bytes(kernel)
        active = _spec(disks, {"vda": "web.vda.1.qcow2", "vdb": "data.0.vmdk", "vdc": "more.0.vdi"}, folder)
        kept = _spec(disks, {"vda": "web.vda.0.raw"}, folder)
        header = memory_file.MemoryHeader(xml=build_domain_xml(kept), cookie="", was_running=1, compression=0)
        (folder / "memory" / "web.0.mem").write_bytes(memory_file.build_header(header) + b"QEVM" * 1000)
        self.files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        self.manifest = self._tell(active, kept)

    def _tell(self, active: MachineSpec, kept: MachineSpec) -> Json:
        kinds = {"disks": "image", "memory": "memory", "boot": "boot file"}
        boot = [str(next(path for path in self.files if path.parts[0] == "boot")), None]
        layers = {
            "web.vda.0.raw": None,
            "web.vda.1.qcow2": "disks/web.vda.0.raw",
            "data.0.vmdk": None,
            "more.0.vdi": None,
        }
        more = {"data.0.vmdk": ["disks/data.0-flat.vmdk"]}

        def point(spec: MachineSpec) -> Json:
            disks = {disk.target: f"disks/{Path(disk.path).name}" for disk in spec.disks}
            return {"xml": build_domain_xml(spec), "disks": disks, "boot": boot, "live_xml": None}

        return {
            "version": 1,
            "machine": "web",
            "point": point(active),
            "snapshots": [
                {
                    "name": "one",
                    "description": "first",
                    "parent": None,
                    "created": 1,
                    "kind": "running",
                    "point": point(kept),
                    "memory": "memory/web.0.mem",
                }
            ],
            "current": "one",
            "images": [
                {
                    "files": [f"disks/{name}", *more.get(name, [])],
                    "format": name.rpartition(".")[2],
                    "capacity": MIB,
                    "backing": below,
                }
                for name, below in layers.items()
            ],
            "files": [{"name": str(path), "kind": kinds[path.parts[0]], "full": False} for path in self.files],
        }

    def write(
        self,
        target: Path,
        change: Callable[[Json], Any] = lambda manifest: manifest,
        contents: Mapping[str, Path] | None = None,
        names: Mapping[str, str] | None = None,
        without: str = "nothing",
        dump: Callable[[Any], bytes] = lambda manifest: json.dumps(manifest).encode(),
    ) -> Path:
        """Write an archive; `change` has the last word on a manifest whose hashes and sizes are right.

        Args:
            contents: other files, by name. names: other names, in the manifest too. without: files that are left out.
        """
        files = [str(path) for path in self.files if without not in str(path)]
        named = {name: (names or {}).get(name, name) for name in files}
        paths = {named[name]: (contents or {}).get(name, self.folder / name) for name in files}

        def finish(written: Mapping[str, Written]) -> bytes:
            text = json.dumps(self.manifest)
            for old, new in (names or {}).items():
                text = text.replace(json.dumps(old), json.dumps(new))
            manifest = json.loads(text)
            manifest["files"] = [each for each in manifest["files"] if each["name"] in paths]
            for each in manifest["files"]:
                name = each["name"]
                each |= {"stored": written[name].stored, "sha256": written[name].sha256}
                each["length"] = paths[name].stat().st_size
            return dump(change(manifest))

        if target.is_dir():
            target.rmdir()
        target.unlink(missing_ok=True)
        sources = [Source(name=name, path=path, sparse=name.startswith("disks/")) for name, path in paths.items()]
        write_archive(target, sources, finish, on_bytes=unheard)
        return target


def _spec(disks: Path, images: Mapping[str, str], folder: Path) -> MachineSpec:
    kernel = next((folder / "boot").iterdir())
    return MachineSpec(
        name="web",
        lab="default",
        lab_id="lab-id",
        id=_ID,
        memory=128 * MIB,
        vcpus=1,
        image="tiny",
        boot=Boot(kernel=str(kernel), command_line="quiet"),
        disks=tuple(
            DiskSpec(name=file, target=target, path=str(disks / file), format=Format(file.rpartition(".")[2]))
            for target, file in images.items()
        ),
        accelerator=Accelerator.TCG,
        console_log="/lab/consoles/web.0.log",
    )


def bring(path: Path, home: Path) -> None:
    """Do with an archive what an import does, but for the hypervisor; at the end, and after an error, nothing is left.

    What came in is looked at: no image depends on anything but a file of the lab.
    """
    for part in ("disks", "memory", "consoles", "boot"):
        (home / part).mkdir(parents=True, exist_ok=True)
    done: list[UnpackImage | UnpackMemory | UnpackBootFile] = []
    try:
        manifest = archives.inspect_archive(path)
        state = LabState(lab="default", lab_id="lab-id", home=str(home))
        who = archives.ArrivalIdentity(name="copy", id=_ID, genid=_ID)
        boots = str(home / "boot")
        arrival = archives.adopt(state, path, manifest, who, boot_folder=boots, accelerator=Accelerator.TCG)
        survey = ImportSurvey(
            free_bytes=100 * GIB,
            host_memory=4 * GIB,
            host_cpus=2,
            accelerator=Accelerator.TCG,
            taken_ids=frozenset(),
            boot_folder=boots,
        )
        for step in plan_import(state, survey, arrival).steps:
            match step:
                case UnpackImage():
                    done.append(step)
                    do_step(step, files_context(home, lambda: state, Limit(30)))
                    _check(step, home)
                case UnpackMemory():
                    done.append(step)
                    do_step(step, files_context(home, lambda: state, Limit(30)))
                    memory_file.read_header(Path(step.target))
                case UnpackBootFile():
                    done.append(step)
                    do_step(step, files_context(home, lambda: state, Limit(30)))
                case DefineAdopted():
                    for text in (step.xml, *(record.xml for record in step.records)):
                        assert "/etc/" not in text
                        assert "nbd:" not in text
                case _:
                    pass
    finally:
        for step in done:
            targets = step.targets if isinstance(step, UnpackImage) else (step.target,)
            for target in targets:
                assert os.path.realpath(target).startswith(f"{home}/")
            undo(step, files_context(home, lambda: state))
        left = [path for path in home.rglob("*") if not path.is_dir()]
        assert [path for path in left if path.stem != "seals"] == []  # of memory that came in; it names none


def _check(step: UnpackImage, home: Path) -> None:
    facts = read_image(Path(step.targets[0]), step.format)
    for file in (*facts.files, *([facts.backing] if facts.backing else [])):
        assert Path(file).parent == home / "disks"
    assert ":" not in Path(step.targets[0]).name


def unheard(_done: int, _total: int) -> None:
    """Hear nothing."""
