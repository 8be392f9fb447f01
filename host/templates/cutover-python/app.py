"""A cutover of names: address records at a PowerDNS server, by its HTTP API.

    agent -> Cutover (this file) -> plan.py: the steps of a wave, out of its settings alone
                 |
                 +-> server.py: one record set, read and replaced

Each step is planned, looked at, applied, verified and perhaps undone in calls that know nothing of each other, days apart and in fresh
instances. All that connects them is the step's `detail`, and what `check` saw.

`wit_world` is the contract in wit/ as Python; componentize-py makes it while it builds. What is imported must be imported at the top:
the component is a snapshot of the interpreter after that.
"""

from typing import List

from wit_world import exports
from wit_world.exports.cutover import Context, Description, Step
from wit_world.imports.types import FaultKind

from plan import Change, steps
from server import Server, Set, fault


class Cutover(exports.Cutover):
    def describe(self) -> Description:
        return Description(Server().product())

    def plan(self, context: Context) -> List[Step]:
        """Asks nobody: a plan is shown before anything is touched, and must be the same when it is carried out."""
        return steps(context)

    def check(self, step: Step) -> str:
        return Server().read(Change.of(step)).to_json()

    def apply(self, step: Step, before: str, idempotency_key: str) -> None:
        change, found = Change.of(step), Set.of(before)
        replace(change, found, change.done(found))

    def verify(self, step: Step) -> bool:
        change = Change.of(step)
        return change.is_done(Server().read(change))

    def undo(self, step: Step, before: str) -> None:
        change, found = Change.of(step), Set.of(before)
        replace(change, change.done(found), found)


def replace(change: Change, before: Set, after: Set) -> None:
    """From one state to another, unless it is there already. Anything else was made by somebody else, and is left as it is."""
    server = Server()
    now = server.read(change)
    if now == before != after:
        server.write(change, after)
    elif now != after:
        why = f"it is {now}, and {before} was expected. It was left as it is."
        raise fault(FaultKind.CONFLICT, f"Somebody else changed {change.name}: {why}")
