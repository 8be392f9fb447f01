"""Drives the lab with real pyVmomi, a client that shares nothing with ours.

Usage: pyvmomi.py LAB_JSON   (needs the packages pyvmomi and requests; prints one line per step, exits 1 on a failure)
"""

import base64
import json
import re
import ssl
import sys
import time
import urllib.parse
import urllib.request

import requests
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

MIB = 1 << 20
# The lab is on this machine; a proxy from the environment would only be in the way.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
WEB = requests.Session()
WEB.trust_env = False


def control(lab, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with DIRECT.open(urllib.request.Request(lab["control"] + path, data=data)) as reply:
        return json.load(reply)


def connect(lab):
    context = ssl.create_default_context(cafile=lab["ca_file"])
    host, port = urllib.parse.urlparse(lab["vcenter"]["url"]).netloc.split(":")
    with open(lab["vcenter"]["password_file"]) as file:
        password = file.read()
    return SmartConnect(host=host, port=int(port), user=lab["vcenter"]["user"], pwd=password, sslContext=context), password


def wait(task):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if task.info.state == "success":
            return task.info.result
        if task.info.state == "error":
            raise task.info.error
        time.sleep(0.02)
    raise TimeoutError(task.info.descriptionId)


def virtual_machines(content):
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    machines = {machine.name: machine for machine in view.view}
    view.Destroy()
    return machines


def names_by_paging(content):
    """Walks the same inventory by a traversal of our own, two objects a page."""
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.ManagedEntity], True)
    collector = vmodl.query.PropertyCollector
    traversal = collector.TraversalSpec(name="members", path="view", skip=False, type=vim.view.ContainerView)
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
        propSet=[collector.PropertySpec(type=vim.ManagedEntity, pathSet=["name"])],
    )
    result = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions(maxObjects=2))
    names, pages = [], 0
    while True:
        pages += 1
        names += [entry.propSet[0].val for entry in result.objects]
        if not result.token:
            return names, pages
        result = content.propertyCollector.ContinueRetrievePropertiesEx(result.token)


def disks(device_list):
    return [device for device in device_list if isinstance(device, vim.vm.device.VirtualDisk)]


def changed_areas(machine, snapshot, disk, change_id):
    areas, offset = [], 0
    while offset < disk.capacityInBytes:
        reply = machine.QueryChangedDiskAreas(snapshot=snapshot, deviceKey=disk.key, startOffset=offset, changeId=change_id)
        assert reply.startOffset == offset and reply.length > 0
        areas += [(area.start, area.length) for area in reply.changedArea]
        offset = reply.startOffset + reply.length
    return areas


def folder_address(lab, backing):
    datastore, path = re.fullmatch(r"\[(.+)\] (.+)\.vmdk", backing.fileName).groups()
    twice = lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe="")
    query = f"dcPath={twice(lab['vcenter']['datacenter_path'])}&dsName={twice(datastore)}"
    return f"{lab['vcenter']['url']}/folder/{urllib.parse.quote(path)}-flat.vmdk?{query}"


def snapshot(machine, name):
    return wait(machine.CreateSnapshot_Task(name=name, description="by pyVmomi", memory=False, quiesce=True))


def remove(taken):
    wait(taken.RemoveSnapshot_Task(removeChildren=False, consolidate=True))


def leased(lab, machine, frozen):
    """Exports a snapshot by a lease: asks, waits, reads while it says that it lives, completes."""
    lease = frozen.ExportSnapshot()
    deadline = time.monotonic() + 30
    while lease.state == vim.HttpNfcLease.State.initializing and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lease.state == vim.HttpNfcLease.State.ready, (lease.state, lease.error)
    assert lease.info.leaseTimeout == 300 and lease.info.entity == machine, lease.info
    devices = [device for device in lease.info.deviceUrl if device.disk]
    stream, pieces = b"", 0
    address = devices[0].url.replace("*", urllib.parse.urlparse(lab["vcenter"]["url"]).netloc)
    with WEB.get(address, verify=lab["ca_file"], stream=True) as reply:
        assert reply.status_code == 200, reply.status_code
        for piece in reply.iter_content(MIB):
            stream, pieces = stream + piece, pieces + 1
            lease.HttpNfcLeaseProgress(min(pieces, 99))
    assert len(devices) == 1 and stream[:4] == b"KDMV" and len(stream) % 512 == 0, (devices, len(stream))
    lease.HttpNfcLeaseComplete()
    assert lease.state == vim.HttpNfcLease.State.done and lease.transferProgress > 0, lease.state
    assert WEB.get(address, verify=lab["ca_file"]).status_code == 404
    try:
        lease.HttpNfcLeaseProgress(100)
        raise AssertionError("a lease that is done was kept alive")
    except vim.fault.InvalidState:
        pass
    print("exported", len(stream), "bytes by a lease")


def cycle(lab, instance, password):
    content = instance.RetrieveContent()
    print("connected to", content.about.fullName)
    machines = virtual_machines(content)
    assert {"db01", "web01", "app01"} <= set(machines), machines
    names, pages = names_by_paging(content)
    assert pages > 3 and "web01" in names and "Lab DC #1" in names, (names, pages)
    print("walked", len(names), "objects in", pages, "pages")

    machine = machines["web01"]
    assert machine.runtime.powerState == "poweredOn" and machine.config.version == "vmx-19"
    assert machine.capability.changeTrackingSupported and machine.snapshot is None
    wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=True)))
    remove(snapshot(machine, "stun"))
    assert machine.config.changeTrackingEnabled
    print("change tracking is on")

    first = snapshot(machine, "first")
    tree = machine.snapshot.rootSnapshotList
    assert [node.name for node in tree] == ["first"] and tree[0].quiesced
    frozen = disks(first.config.hardware.device)[0]
    live = disks(machine.config.hardware.device)[0]
    assert live.backing.parent.fileName == frozen.backing.fileName != live.backing.fileName
    change_id = frozen.backing.changeId
    assert re.fullmatch(r"([0-9a-f]{2}[ -]){15}[0-9a-f]{2}/\d+", change_id), change_id
    assert changed_areas(machine, first, frozen, "*")

    url = folder_address(lab, frozen.backing)
    head = WEB.head(url, auth=(lab["vcenter"]["user"], password), verify=lab["ca_file"])
    assert head.status_code == 200 and int(head.headers["Content-Length"]) == frozen.capacityInBytes, head.headers
    part = WEB.get(url, auth=(lab["vcenter"]["user"], password), verify=lab["ca_file"], headers={"Range": "bytes=0-511"})
    assert part.status_code == 206 and part.content[510:] == b"\x55\xaa", part.status_code
    print("read the partition table through /folder")

    leased(lab, machine, first)

    control(lab, "/write", {"vm": "web01", "disk": frozen.key, "offset": 5 * MIB, "base64": base64.b64encode(b"x" * 512).decode()})
    remove(first)
    second = snapshot(machine, "second")
    areas = changed_areas(machine, second, disks(second.config.hardware.device)[0], change_id)
    assert areas == [(5 * MIB, 65536)], areas
    try:
        machine.QueryChangedDiskAreas(snapshot=second, deviceKey=frozen.key, startOffset=frozen.capacityInBytes, changeId=change_id)
        raise AssertionError("an offset at the end was accepted")
    except vmodl.fault.InvalidArgument:
        pass
    remove(second)
    assert machine.snapshot is None and not machine.runtime.consolidationNeeded
    print("changed areas:", areas)

    wait(machines["app01"].PowerOffVM_Task())
    assert machines["app01"].runtime.powerState == "poweredOff"
    try:
        wait(machines["app01"].PowerOffVM_Task())
        raise AssertionError("a VM was switched off twice")
    except vim.fault.InvalidPowerState:
        pass
    WaitForTask(machines["app01"].PowerOnVM_Task())
    assert machines["app01"].runtime.powerState == "poweredOn"
    print("power off and on")

    try:
        machine.RefreshStorageInfo()
        raise AssertionError("an unknown method was accepted")
    except (vmodl.fault.NotImplemented, vmodl.MethodFault) as fault:
        assert "RefreshStorageInfo" in fault.msg, fault.msg


def main():
    with open(sys.argv[1]) as file:
        lab = json.load(file)
    instance, password = connect(lab)
    cycle(lab, instance, password)
    Disconnect(instance)
    assert control(lab, "/snapshots") == []
    print("pyVmomi: all steps passed")


main()
