"""What is going on while a step is carried out, in a few words; its command is what a person would type.

Knows: the steps, the catalogues. Must not know: how a step is carried out, who says the words.
"""

from __future__ import annotations

from labkit.language import _
from labkit.plans import steps
from labkit.plans.steps import Step


def step_word(step: Step) -> str:
    """Return what a step does, e.g. "copying an image"."""
    match step:
        case steps.ConvertImage() | steps.BringImage():
            return _("writing the content as {format}").format(format=step.target_format)
        case steps.TakeSnapshot(memory=str()):
            return _("writing the memory")
        case _:
            return _list_words()[type(step)]


def _list_words() -> dict[type[Step], str]:
    return {
        steps.CopyImage: _("copying an image"),
        steps.CreateImage: _("making an image"),
        steps.CreateOverlay: _("making an empty image on another one"),
        steps.LinkImages: _("making an empty image on another one"),
        steps.WriteMessage: _("writing the message into the image"),
        steps.RenameImage: _("renaming an image"),
        steps.GrowImage: _("giving the image more capacity"),
        steps.ReplaceImage: _("putting the new image in its place"),
        steps.RebaseImage: _("letting the copy stand on the copy below it"),
        steps.FreezeImages: _("closing images for writing"),
        steps.MergeLayer: _("merging a layer into the one above it"),
        steps.PullBases: _("copying up what is read from below"),
        steps.BackUpDisks: _("copying the disks while the guest goes on"),
        steps.DeleteFiles: _("deleting files"),
        steps.StopServing: _("ending the disk's server"),
        steps.AttachDisk: _("attaching the disk"),
        steps.DetachDisk: _("detaching the disk"),
        steps.RepointDisk: _("giving the disk another image"),
        steps.DefineMachine: _("telling the hypervisor of the machine"),
        steps.DefineAdopted: _("telling the hypervisor of the machine"),
        steps.DefineClones: _("telling the hypervisor of the clones"),
        steps.DefineFromSnapshot: _("bringing the configuration back"),
        steps.ConfigureMachine: _("changing the configuration"),
        steps.RenameMachine: _("renaming the machine"),
        steps.CutPower: _("cutting the power"),
        steps.UndefineMachine: _("letting the hypervisor forget the machine"),
        steps.TakeSnapshot: _("going on in new images"),
        steps.RestoreMemory: _("reading the memory back"),
        steps.DropSaved: _("deleting the saved memory"),
        steps.MarkCurrent: _("noting where the machine is"),
        steps.ForgetSnapshot: _("forgetting the snapshot"),
        steps.RelabelSnapshot: _("renaming the snapshot"),
        steps.ReviveSnapshot: _("making the snapshot known again"),
        steps.CopySnapshots: _("copying the snapshots"),
        steps.CopyMemory: _("copying the memory"),
        steps.WakeClones: _("waking the clones"),
        steps.DropRecords: _("taking the snapshots along"),
        steps.GiveRecords: _("taking the snapshots along"),
        steps.MigrateMachine: _("moving the machine"),
        steps.EndInstance: _("ending the other hypervisor"),
        steps.WriteArchive: _("packing the archive"),
        steps.UnpackImage: _("unpacking an image"),
        steps.UnpackMemory: _("unpacking the memory"),
        steps.UnpackBootFile: _("unpacking what it boots from"),
    }
