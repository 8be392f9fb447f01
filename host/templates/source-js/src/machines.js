/** What was exported: `machines/NAME/` with an image for each disk, and with machine.json. */

import { fault, parsed } from "./answers.js";

export const FOLDER = "machines/";
const DESCRIPTION = "machine.json";
const IMAGE = ".raw";
const SECTOR = 512;

export class Machine {
  /** `described` is machine.json. An image is a disk as it was exported last: { disk, key, size, etag }; another export, another ETag. */
  constructor(name, described, images) {
    this.name = name;
    /** The same as long as it is the same machine; a new machine of an old name has another one. */
    this.uuid = described.uuid;
    this.described = described;
    this.images = images;
  }

  /**
   * Undefined while machine.json is not there: an export that is not complete is no machine. The images come first, so that an export
   * that runs just now is noticed: machine.json is gone, or the store refuses a range of an image that is not there any more.
   */
  static find(bucket, name) {
    const folder = `${FOLDER}${name}/`;
    const objects = bucket.objects(folder).filter(({ key }) => key.endsWith(IMAGE));
    const json = bucket.read(folder + DESCRIPTION);
    if (json === undefined) {
      return undefined;
    }
    const keys = { uuid: "string", cpus: "number", "memory-mib": "number", efi: "boolean", "guest-os": "string" };
    const described = parsed(json, folder + DESCRIPTION, keys);
    const images = objects.map((object) => ({ disk: object.key.slice(folder.length, -IMAGE.length), ...object }));
    return new Machine(name, described, images);
  }

  /** The machine that is meant, and no other one of its name. */
  static proven(bucket, vm) {
    const machine = Machine.find(bucket, vm.id);
    if (machine === undefined) {
      throw fault("not-found", `There is no complete export of ${vm.id}.`);
    }
    if (machine.uuid !== vm.fingerprint) {
      throw fault("conflict", `${vm.id} is another machine than it was.`);
    }
    return machine;
  }

  summary() {
    return {
      vm: { id: this.name, fingerprint: this.uuid },
      name: this.name,
      folder: FOLDER,
      // An image runs nowhere.
      power: "off",
      host: "",
      guestOs: this.described["guest-os"],
      disks: this.images.map(({ disk, key, size }) => ({ id: disk, label: key, size: BigInt(size) })),
    };
  }

  findings() {
    const blocking = (code, subject, message, remedy) => ({ code, severity: "blocking", subject, message, remedy });
    if (this.images.length === 0) {
      return [blocking("no-images", this.name, "No image of it was exported.", "Export its disks, or leave it out.")];
    }
    return this.images
      .filter(({ size }) => size === 0 || size % SECTOR !== 0)
      .map(({ key, size }) => {
        const message = `It has ${size} bytes, which is no disk of ${SECTOR}-byte sectors.`;
        return blocking("image-not-in-sectors", key, message, "Export it as a raw image, and upload all of it.");
      });
  }

  /** An image runs nowhere, and nobody knows how much a bucket can take: no limit counts its disks. */
  placement() {
    return { host: "", datastores: [], disks: this.images.map(({ disk }) => ({ disk, datastore: undefined })) };
  }

  definition() {
    return {
      name: this.name,
      cpus: this.described.cpus,
      memoryMib: BigInt(this.described["memory-mib"]),
      firmware: this.described.efi ? "efi" : "bios",
      secureBoot: false,
      guestOs: this.described["guest-os"],
      nics: [],
      disks: this.images.map(({ disk }, unit) => ({ disk, controller: "virtio-scsi", controllerNumber: 0, unit })),
    };
  }
}

export function inventory(bucket, cursor) {
  const { folders, next } = bucket.folders(FOLDER, cursor);
  const machines = folders.map((folder) => Machine.find(bucket, folder.slice(FOLDER.length, -1)));
  return { vms: machines.filter((machine) => machine !== undefined).map((machine) => machine.summary()), next };
}
