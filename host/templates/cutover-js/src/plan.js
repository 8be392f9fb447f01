/** The steps of a wave: first every name is kept for a short time only, then every name points to the target. */

import { fault } from "./server.js";

/** The detail of a step: one record set, and what becomes of it. With `addresses` null only the TTL is lowered. */
export function change(step) {
  try {
    const { name, kind, ttl, addresses } = JSON.parse(step.detail);
    if (typeof name === "string" && typeof kind === "string" && typeof ttl === "number") {
      return { name, kind, ttl, addresses };
    }
  } catch {
    // It is refused below.
  }
  throw fault("invalid", `Step ${step.id} is none that this plugin plans.`);
}

/** What `before` becomes. A TTL that is shorter already stays. */
export function done(wanted, before) {
  const ttl = before.ttl === null ? null : Math.min(before.ttl, wanted.ttl);
  if (wanted.addresses === null) {
    return { ttl, addresses: before.addresses };
  }
  return { ttl: ttl ?? wanted.ttl, addresses: wanted.addresses };
}

export function isDone(wanted, now) {
  if (wanted.addresses === null) {
    return now.ttl === null || now.ttl <= wanted.ttl;
  }
  return JSON.stringify(now.addresses) === JSON.stringify(wanted.addresses);
}

/**
 * What the operator writes for this plugin into the wave file: `names` by VM, the TTL during the move (`ttl`), and the one before it
 * (`old-ttl`), in seconds. An unknown key is refused: a typing mistake must not become a default.
 */
export function steps(context) {
  const { names = {}, ttl = 60, "old-ttl": oldTtl = 3600, ...unknown } = JSON.parse(context.settings);
  if (Object.keys(unknown).length > 0) {
    throw wrong(`unknown key ${Object.keys(unknown)[0]}`);
  }
  const absent = Object.keys(names).find((name) => !context.vms.some((vm) => vm.name === name));
  if (absent !== undefined) {
    throw wrong(`VM ${absent} is not in this wave`);
  }
  const [prepare, moves] = [[], []];
  for (const vm of context.vms) {
    for (const name of (names[vm.name] ?? []).map(full)) {
      for (const [kind, addresses] of byKind(vm.targetAddresses)) {
        const lowered = { name, kind, ttl, addresses: null };
        prepare.push(step("ttl", "prepare", `resolvers keep ${name} ${kind} for ${ttl} s at most`, lowered, oldTtl));
        const moved = { name, kind, ttl, addresses };
        moves.push(step("switch", "switch", `${name} ${kind} answers ${addresses.join(", ")}`, moved, ttl));
      }
    }
  }
  if (moves.length === 0) {
    throw wrong("no VM of this wave has both names and target addresses");
  }
  return [...prepare, ...moves];
}

function step(word, phase, summary, detail, settleSeconds) {
  const id = `${word}:${detail.name}:${detail.kind.toLowerCase()}`;
  return { id, phase, summary, detail: JSON.stringify(detail), settleSeconds };
}

/** With the dot at its end, as the server writes it. */
function full(name) {
  const plain = name.replace(/\.+$/, "").toLowerCase();
  if (!/^[a-z0-9._-]+$/.test(plain)) {
    throw wrong(`${JSON.stringify(name)} is no name`);
  }
  return `${plain}.`;
}

/** The addresses of each kind, in the order in which the server's are read. */
function byKind(addresses) {
  const six = (address) => address.includes(":");
  const kinds = [
    ["A", addresses.filter((address) => !six(address)).sort()],
    ["AAAA", addresses.filter(six).sort()],
  ];
  return kinds.filter(([, found]) => found.length > 0);
}

function wrong(why) {
  return fault("invalid", `This wave cannot be planned: ${why}.`);
}
