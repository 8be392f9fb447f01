/**
 * A cutover of names: address records at a PowerDNS server, by its HTTP API.
 *
 *   agent -> cutover (this file) -> plan.js: the steps of a wave, out of its settings alone
 *                |
 *                +-> server.js: one record set, read and replaced
 *
 * Each step is planned, looked at, applied, verified and perhaps undone in calls that know nothing of each other, days apart and in
 * fresh instances. All that connects them is the step's `detail`, and what `check` saw. Names of the contract in wit/ are written in
 * camelCase, and a fault is thrown.
 */

import { change, done, isDone, steps } from "./plan.js";
import { fault, same, Server, shown } from "./server.js";

export const cutover = {
  describe() {
    return { product: new Server().product() };
  },
  /** Asks nobody: a plan is shown before anything is touched, and must be the same when it is carried out. */
  plan(context) {
    return steps(context);
  },
  check(step) {
    return JSON.stringify(new Server().read(change(step)));
  },
  apply(step, before, _idempotencyKey) {
    const [wanted, found] = [change(step), parsed(before)];
    replace(wanted, found, done(wanted, found));
  },
  verify(step) {
    const wanted = change(step);
    return isDone(wanted, new Server().read(wanted));
  },
  undo(step, before) {
    const [wanted, found] = [change(step), parsed(before)];
    replace(wanted, done(wanted, found), found);
  },
};

/** From one state to another, unless it is there already. Anything else was made by somebody else, and is left as it is. */
function replace(wanted, from, to) {
  const server = new Server();
  const now = server.read(wanted);
  if (same(now, to)) {
    return;
  }
  if (!same(now, from)) {
    const why = `it is ${shown(now)}, and ${shown(from)} was expected. It was left as it is.`;
    throw fault("conflict", `Somebody else changed ${wanted.name}: ${why}`);
  }
  server.write(wanted, to);
}

function parsed(before) {
  try {
    const { ttl, addresses } = JSON.parse(before);
    return { ttl, addresses };
  } catch (error) {
    throw fault("invalid", `This is not what check answered: ${error.message}.`);
  }
}
