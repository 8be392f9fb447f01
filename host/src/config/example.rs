//! The configuration that `transload init` writes. It parses as it stands (a test says so); what is commented out shows the default.

pub(super) const EXAMPLE: &str = r#"# Transload. `transload check` tries everything in this file and changes nothing.
# Sizes and times carry their unit: "64 MiB", "2 s", "12 h". Relative paths count from the folder of this file.

# Journal, digest tables, spool, approvals of plugins.
state = "/var/lib/transload"

# both: one process sends and receives. On a large site: gateway here, receiver at the target; they meet in the store only.
role = "both"

# One folder a plugin, as `transload` was installed with or as a vendor ships it.
plugins = "/usr/lib/transload/plugins"

# What opens the data key of the store. Keep a copy elsewhere: without it nobody can read the replicas' log.
[key]
file = "/etc/transload/store.key"
# passphrase-file = "/etc/transload/store.passphrase"

# ---- where VMs are read from; as many as there are ----------------------------------------------------------------------------------
[[source]]
name = "vc1"
plugin = "vmware-cbt"
# Secrets are files that only the agent's user can read (chmod 600), or "credential:NAME" for one that systemd hands over.
secrets = { password = "/etc/transload/vc1.password" }
config = { url = "https://vcenter.example.test", username = "svc-transload@vsphere.local" }

# How the source is reached. Leave it out when the machine's own certificate authorities and resolver are enough.
[[source.endpoint]]
origin = "https://vcenter.example.test"
trust = "system"
# trust = { ca-file = "/etc/transload/corp-ca.pem" }
# trust = { pin = "sha256:…" }          # `transload check` prints the fingerprint that it found
# address = "10.1.2.3"                  # connect here, like an entry in a hosts file
# expect = ["10.0.0.0/8"]               # refuse, and never connect to, any other answer of the resolver
# proxy = { url = "http://proxy.example.test:3128", user = "agent", password-file = "/etc/transload/proxy.password", no-proxy = [".corp.example.test"] }
# connect-timeout = "10 s"
# read-timeout = "60 s"
# connections = 32                      # bulk transfers at one time, at most: 16 nearby, fewer while answers are slow

# ---- the store that the replication log is written to ---------------------------------------------------------------------------------
[sink]
name = "store"
plugin = "storage-s3"
secrets = { secret-key = "/etc/transload/s3.secret-key" }
config = { endpoint = "https://s3.example.test", region = "eu-central-1", bucket = "transload", access-key = "AKIAEXAMPLE" }

# weight = 1                  # beside [[store]] tables: of what they take together, this much

# Further stores, for VMs that change more than one store takes: blocks are spread over all of them, by weight and by how fast each is. Everything
# else stays in [sink]. A receiver apart needs the same tables, with the same names. They are bound to [sink] for good: keep them as long as it.
# [[store]]
# name = "second"
# plugin = "storage-s3"
# weight = 2
# secrets = { secret-key = "/etc/transload/s3-second.secret-key" }
# config = { endpoint = "https://s3-second.example.test", region = "eu-central-1", bucket = "transload-2", access-key = "AKIAEXAMPLE" }

# ---- what moves names, addresses and traffic in a cutover; as many as there are -------------------------------------------------------
# [[cutover]]
# name = "dns"
# plugin = "my-dns"
# secrets = { token = "/etc/transload/dns.token" }
# config = { url = "https://dns.example.test" }

# ---- how ------------------------------------------------------------------------------------------------------------------------------
[replication]
# interval-min = "1 h"        # a snapshot stuns a busy VM for a moment, so not more often than this
# interval-max = "12 h"       # a delta that waits grows, so not less often than this
# in-flight = "96 MiB"        # bytes between source and store: bounds memory, and what is sent again after a crash
# segment = "16 MiB"          # largest size of an object with blocks; at most a 24th of in-flight
# compression-level = 1       # zstd; higher levels save little on disks
# quiesce = true              # ask guests to flush their file systems first
# poll = "2 s"                # how soon receipts and commands are noticed
# shutdown-within = "10 min"  # how long a guest may take to shut down before a final cycle
# stop-within = "60 s"        # how long the agent may take to close snapshots when it is told to stop
# patience = "2 h"            # how long something may be down before the cycle's snapshot is given up and another one taken
# distrust-budget = "64 MiB"  # of each disk, what a delta reads again of what the source calls unchanged

# ---- how much at one time; who has to wait says for what; taken over while the agent runs ------------------------------------------------
[limits]
# vms = 300                          # VMs that this appliance replicates
# disks = 52                         # disks read at one time, over all VMs
# disk-snapshots-per-datastore = 15  # each grows while its VM is copied; a VM with more disks goes alone
# disks-per-host = 8                 # where less is to be read than the source says of its hosts
# datastore-reserve-percent = 5      # never touched: snapshots are closed before, and none is opened until twice as much is free
# snapshot-age-max = "3 d"           # an older one is closed; what was copied is kept

# ---- which recovery points are kept; the newest, pinned and newest verified ones always are ---------------------------------------------
[retention]
# automatic = true            # points go by themselves, some after each dozen of cycles; otherwise with `transload prune`
# recent = "24 h"             # all that are at most so much older than the newest one
# days = 7                    # and the last one of each of so many days before that
# at-least = 3                # and so many of the newest, whatever a clock says

# ---- when, and how fast; taken over while the agent runs ------------------------------------------------------------------------------
# In a blackout no cycle begins. Windows are read by the clock of a zone; docs/calendar.md says how they stand to clocks that are changed.
# [calendar]
# zone = "Europe/Berlin"
# blackout = "Monday;7:00;7h | Tuesday;8:00;1d7h"   # as Azure Migrate writes them
# on-enter = "finish"         # what a cycle does that runs when a window opens: goes on. "park": its copies stand still until it is over

# [[blackout]]
# days = ["Monday-Friday"]    # left out: every day
# from = "07:00"
# until = "14:00"             # or for = "7 h"

# Of all that is sent, or by sink = "…", host = "…", vm = "…"; "*" is each of them. Without a time it holds always.
# [[throttle]]
# send = "100 Mbit/s"         # read = "…" for what is read from sources
# days = ["Monday-Friday"]
# from = "07:00"
# until = "19:00"             # open by night

# ---- which VMs ------------------------------------------------------------------------------------------------------------------------
# By name, by "folder/name", or by instance UUID. With one source the short form is enough: vms = ["db01", "web01"], above the first [table].
[[vm]]
name = "db01"
source = "vc1"
# target-size-max = "4 TiB"   # refuse disks that the target could not take
# stores = ["store"]          # where its blocks may go, by name: all stores if left out

# ---- where replicas go ----------------------------------------------------------------------------------------------------------------
[receiver]
replicas = "/var/lib/transload/replicas"

# A disk on a block device instead of a raw file. `transload check` shows the ids:
# [[receiver.device]]
# vm = "vc1-0123456789abcdef"
# disk = "6000c295-be0e-4bd4-0000-000000000000"
# path = "/dev/disk/by-id/virtio-target-1"
"#;
