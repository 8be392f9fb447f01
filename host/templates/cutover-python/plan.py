"""The steps of a wave: first every name is kept for a short time only, then every name points to the target."""

import json
import re
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Dict, List, Optional

from componentize_py_types import Err
from wit_world.exports.cutover import Context, Phase, Step
from wit_world.imports.types import Fault, FaultKind

from server import Set, fault

NAME = re.compile(r"[a-z0-9._-]+")


@dataclass
class Change:
    """The detail of a step: one record set, and what becomes of it."""

    name: str
    # "A" or "AAAA".
    kind: str
    ttl: int
    # None: only the TTL is lowered.
    addresses: Optional[List[str]]

    @staticmethod
    def of(step: Step) -> "Change":
        try:
            return Change(**json.loads(step.detail))
        except (TypeError, ValueError) as error:
            raise fault(FaultKind.INVALID, f"Step {step.id} is none that this plugin plans: {error}.")

    def done(self, before: Set) -> Set:
        """What `before` becomes. A TTL that is shorter already stays."""
        ttl = None if before.ttl is None else min(before.ttl, self.ttl)
        if self.addresses is None:
            return Set(ttl, before.addresses)
        return Set(self.ttl if ttl is None else ttl, self.addresses)

    def is_done(self, now: Set) -> bool:
        if self.addresses is None:
            return now.ttl is None or now.ttl <= self.ttl
        return now.addresses == self.addresses


def steps(context: Context) -> List[Step]:
    """What the operator writes for this plugin into the wave file: `names` by VM, the TTL during the move (`ttl`), and the one before it
    (`old-ttl`), in seconds. An unknown key is refused: a typing mistake must not become a default."""
    settings = json.loads(context.settings)
    unknown = sorted(settings.keys() - {"names", "ttl", "old-ttl"})
    if unknown:
        raise wrong(f"unknown key {unknown[0]}")
    names, ttl, old_ttl = settings.get("names", {}), settings.get("ttl", 60), settings.get("old-ttl", 3600)
    absent = sorted(names.keys() - {vm.name for vm in context.vms})
    if absent:
        raise wrong(f"VM {absent[0]} is not in this wave")
    prepare, switch = [], []
    for vm in context.vms:
        for name in map(full, names.get(vm.name, [])):
            for kind, addresses in by_kind(vm.target_addresses).items():
                lowered = Change(name, kind, ttl, None)
                prepare.append(step("ttl", Phase.PREPARE, f"resolvers keep {name} {kind} for {ttl} s at most", lowered, old_ttl))
                moved = Change(name, kind, ttl, addresses)
                switch.append(step("switch", Phase.SWITCH, f"{name} {kind} answers {', '.join(addresses)}", moved, ttl))
    if not switch:
        raise wrong("no VM of this wave has both names and target addresses")
    return prepare + switch


def step(word: str, phase: Phase, summary: str, change: Change, settle_seconds: int) -> Step:
    return Step(f"{word}:{change.name}:{change.kind.lower()}", phase, summary, json.dumps(asdict(change)), settle_seconds)


def full(name: str) -> str:
    """With the dot at its end, as the server writes it."""
    plain = name.rstrip(".").lower()
    if not NAME.fullmatch(plain):
        raise wrong(f"{name!r} is no name")
    return plain + "."


def by_kind(addresses: List[str]) -> Dict[str, List[str]]:
    """The addresses of each kind, in the order in which the server's are read."""
    found: Dict[str, List[str]] = {}
    for address in map(ip_address, addresses):
        found.setdefault("A" if address.version == 4 else "AAAA", []).append(str(address))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def wrong(why: str) -> Err[Fault]:
    return fault(FaultKind.INVALID, f"This wave cannot be planned: {why}.")
