// The playground that the tests run in.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

// How long anything may take that normally takes a moment; no test is about how long this is.
const PATIENCE_MS = 60_000;
// Between an error and the next attempt.
const PAUSE_MS = 20;
const WRITES_BEFORE = 200;
const WRITES_AFTER = 300;

export const MASTER = 'mymaster';

export function sentinelAddress() {
  const file = `${process.env.KV_PLAYGROUND_DIR}/coordinator.redis-address`;
  const [host, port] = readFileSync(file, 'utf8').trim().split(':');
  return { host, port: Number(port) };
}

// Asks again and again until the probe gives something true.
export async function waitUntil(what, probe) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await probe();
    if (found) return found;
    assert(Date.now() < deadline, `waited ${PATIENCE_MS} ms for ${what}`);
    await sleep(PAUSE_MS);
  }
}

// Writes each number under a key of its own and counts up, and notes what it was told.
class Writer {
  written = [];
  counted = 0;
  uncertain = 0;
  stopped = false;

  constructor(name, set, incr) {
    Object.assign(this, { name, set, incr });
  }

  async run() {
    for (let number = 1; !this.stopped; number += 1) {
      try {
        if ((await this.set(`${this.name}-${number}`, String(number))) === 'OK') this.written.push(number);
      } catch {
        await sleep(PAUSE_MS);
      }
      try {
        await this.incr(`${this.name}-counter`);
        this.counted += 1;
      } catch {
        this.uncertain += 1;
        await sleep(PAUSE_MS);
      }
    }
  }
}

// Kills the primary while `set` and `incr` write, waits until they go on by themselves, and reads back what was
// acknowledged. `mayRepeat`: the client asks again by itself, and may so count twice.
export async function killPrimaryWhileWriting(test, { name, set, incr, get, mayRepeat }) {
  const writer = new Writer(name, set, incr);
  const done = writer.run();
  await waitUntil(`${WRITES_BEFORE} writes`, () => writer.written.length >= WRITES_BEFORE);
  const former = (await run(process.env.KV_PRIMARY, ['kill'])).stdout.trim();
  test.after(() => run(process.env.KV_PRIMARY, ['restore', former]));
  const target = writer.written.length + WRITES_AFTER;
  await waitUntil(`${target} writes`, () => writer.written.length >= target);
  writer.stopped = true;
  await done;
  const lost = [];
  for (const number of writer.written) {
    if ((await get(`${name}-${number}`)) !== String(number)) lost.push(number);
  }
  assert.deepEqual(lost, [], `${name} was told that these were written`);
  const counter = Number(await get(`${name}-counter`));
  assert(counter >= writer.counted, `${counter} is less than ${writer.counted} increments`);
  if (!mayRepeat) {
    const most = writer.counted + writer.uncertain;
    assert(counter <= most, `${counter} is more than ${most} increments`);
  }
  test.diagnostic(`${name}: ${writer.written.length} writes, ${writer.uncertain} errors`);
}
