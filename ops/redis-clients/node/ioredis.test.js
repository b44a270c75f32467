// ioredis in its Sentinel mode.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { MASTER, killPrimaryWhileWriting, sentinelAddress, waitUntil } from './cluster.js';

function connect(options = {}) {
  const client = new Redis({ sentinels: [sentinelAddress()], name: MASTER, ...options });
  // A broken connection is told here as well as by the command; without a listener it would be printed.
  client.on('error', () => {});
  return client;
}

describe('ioredis', () => {
  let client;
  before(() => {
    client = connect();
  });
  after(() => client.disconnect());
  beforeEach(() => client.flushdb());

  it('sets and gets', async () => {
    assert.equal(await client.set('greeting', 'hello', 'EX', 60), 'OK');
    assert.equal(await client.get('greeting'), 'hello');
    assert.equal(await client.set('greeting', 'hi', 'NX'), null);
    assert.equal(await client.get('nothing'), null);
    assert.deepEqual(await client.mget('greeting', 'nothing'), ['hello', null]);
    await assert.rejects(client.incr('greeting'), /value is not an integer or out of range/);
    await assert.rejects(client.call('LPUSH', 'a', 'b'), /unknown command 'LPUSH'/);
  });

  it('takes any bytes', async () => {
    const bytes = Buffer.from([...Array(256).keys()]);
    await client.set(bytes, bytes);
    assert.deepEqual(await client.getBuffer(bytes), bytes);
  });

  it('pipelines', async () => {
    const pipeline = client.pipeline();
    for (let number = 0; number < 1000; number += 1) pipeline.incr('a');
    const answers = await pipeline.exec();
    assert.deepEqual(answers.at(-1), [null, 1000]);
  });

  it('does a transaction whole, or not at all when a watched key changed', async () => {
    assert.deepEqual(await client.multi().set('a', '1').incr('a').exec(), [[null, 'OK'], [null, 2]]);
    const other = connect();
    await client.watch('a');
    await other.set('a', '7');
    assert.equal(await client.multi().set('a', '8').exec(), null);
    assert.equal(await client.get('a'), '7');
    other.disconnect();
  });

  it('publishes and subscribes', async () => {
    const listener = connect();
    const heard = [];
    listener.on('message', (channel, message) => heard.push([channel, message]));
    await listener.subscribe('news');
    assert.equal(await client.publish('news', 'hi'), 1);
    await waitUntil('the message', () => heard.length > 0);
    assert.deepEqual(heard, [['news', 'hi']]);
    listener.disconnect();
  });

  it('scans', async () => {
    const names = Array.from({ length: 2500 }, (_, number) => `scanned:${number}`);
    await client.mset(names.flatMap((name) => [name, '1']));
    await client.set('other', '1');
    const found = new Set();
    for await (const batch of client.scanStream({ match: 'scanned:*', count: 100 })) {
      batch.forEach((name) => found.add(name));
    }
    assert.deepEqual([...found].sort(), names.sort());
  });

  it('goes on after the primary was killed, and what it was told is there', async (test) => {
    await killPrimaryWhileWriting(test, {
      name: 'ioredis',
      set: (key, value) => client.set(key, value),
      incr: (key) => client.incr(key),
      get: (key) => client.get(key),
      mayRepeat: true,
    });
  });

  it('counts nothing twice when it is told not to ask again', async (test) => {
    const strict = connect({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, failoverDetector: true });
    test.after(() => strict.disconnect());
    await killPrimaryWhileWriting(test, {
      name: 'ioredis-strict',
      set: (key, value) => strict.set(key, value),
      incr: (key) => strict.incr(key),
      get: (key) => client.get(key),
      mayRepeat: false,
    });
  });
});
