"""What was exported: `machines/NAME/` with an image for each disk, and with machine.json."""

from dataclasses import dataclass
from typing import List, Optional

from wit_world.exports.source import (
    DiskHome,
    DiskSummary,
    Finding,
    InventoryPage,
    PowerState,
    Severity,
    VmPlacement,
    VmRef,
    VmSummary,
)
from wit_world.imports.machine import DiskPlace, Firmware, VmDefinition
from wit_world.imports.types import FaultKind

from answers import fault, parsed
from bucket import Bucket

FOLDER = "machines/"
DESCRIPTION = "machine.json"
IMAGE = ".raw"
SECTOR = 512


@dataclass
class Image:
    """A disk as it was exported last."""

    disk: str
    key: str
    size: int
    # Another export, another ETag.
    etag: str


@dataclass
class Machine:
    name: str
    # The same as long as it is the same machine; a new machine of an old name has another one.
    uuid: str
    cpus: int
    memory_mib: int
    efi: bool
    guest_os: str
    images: List[Image]

    @staticmethod
    def find(bucket: Bucket, name: str) -> Optional["Machine"]:
        """None while machine.json is not there: an export that is not complete is no machine. The images come first, so that an export
        that runs just now is noticed: machine.json is gone, or the store refuses a range of an image that is not there any more."""
        folder = f"{FOLDER}{name}/"
        images = [
            Image(found.key[len(folder):-len(IMAGE)], found.key, found.size, found.etag)
            for found in bucket.objects(folder)
            if found.key.endswith(IMAGE)
        ]
        text = bucket.read(folder + DESCRIPTION)
        if text is None:
            return None
        told = parsed(text, folder + DESCRIPTION, {"uuid": str, "cpus": int, "memory-mib": int, "efi": bool, "guest-os": str})
        return Machine(name, told["uuid"], told["cpus"], told["memory-mib"], told["efi"], told["guest-os"], images)

    @staticmethod
    def proven(bucket: Bucket, vm: VmRef) -> "Machine":
        """The machine that is meant, and no other one of its name."""
        machine = Machine.find(bucket, vm.id)
        if machine is None:
            raise fault(FaultKind.NOT_FOUND, f"There is no complete export of {vm.id}.")
        if machine.uuid != vm.fingerprint:
            raise fault(FaultKind.CONFLICT, f"{vm.id} is another machine than it was.")
        return machine

    def summary(self) -> VmSummary:
        disks = [DiskSummary(image.disk, image.key, image.size) for image in self.images]
        # An image runs nowhere.
        power, host = PowerState.OFF, ""
        return VmSummary(VmRef(self.name, self.uuid), self.name, FOLDER, power, host, self.guest_os, disks)

    def findings(self) -> List[Finding]:
        if not self.images:
            remedy = "Export its disks, or leave it out."
            return [Finding("no-images", Severity.BLOCKING, self.name, "No image of it was exported.", remedy)]
        findings = []
        for image in self.images:
            if image.size == 0 or image.size % SECTOR:
                message = f"It has {image.size} bytes, which is no disk of {SECTOR}-byte sectors."
                remedy = "Export it as a raw image, and upload all of it."
                findings.append(Finding("image-not-in-sectors", Severity.BLOCKING, image.key, message, remedy))
        return findings

    def placement(self) -> VmPlacement:
        """An image runs nowhere, and nobody knows how much a bucket can take: no limit counts its disks."""
        return VmPlacement("", [], [DiskHome(image.disk, None) for image in self.images])

    def definition(self) -> VmDefinition:
        return VmDefinition(
            name=self.name,
            cpus=self.cpus,
            memory_mib=self.memory_mib,
            firmware=Firmware.EFI if self.efi else Firmware.BIOS,
            secure_boot=False,
            guest_os=self.guest_os,
            nics=[],
            disks=[DiskPlace(image.disk, "virtio-scsi", 0, unit) for unit, image in enumerate(self.images)],
        )


def inventory(bucket: Bucket, cursor: Optional[str]) -> InventoryPage:
    page = bucket.folders(FOLDER, cursor)
    machines = [Machine.find(bucket, folder[len(FOLDER):].rstrip("/")) for folder in page.folders]
    return InventoryPage([machine.summary() for machine in machines if machine is not None], page.next)
