// node-redis in its Sentinel mode.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createSentinel } from 'redis';
import { MASTER, killPrimaryWhileWriting, sentinelAddress, waitUntil } from './cluster.js';

for (const RESP of [2, 3]) {
  describe(`node-redis with RESP${RESP}`, () => {
    let client;
    before(async () => {
      client = createSentinel({
        name: MASTER,
        sentinelRootNodes: [sentinelAddress()],
        // One connection is leased for a transaction while another interferes.
        masterPoolSize: 2,
        RESP,
        nodeClientOptions: { RESP },
        sentinelClientOptions: { RESP },
      });
      client.on('error', () => {});
      await client.connect();
    });
    after(() => client.destroy());
    beforeEach(() => client.flushDb());

    it('sets and gets', async () => {
      assert.equal(await client.set('greeting', 'hello', { expiration: { type: 'EX', value: 60 } }), 'OK');
      assert.equal(await client.get('greeting'), 'hello');
      assert.equal(await client.set('greeting', 'hi', { condition: 'NX' }), null);
      assert.deepEqual(await client.mGet(['greeting', 'nothing']), ['hello', null]);
      await assert.rejects(client.incr('greeting'), /value is not an integer or out of range/);
    });

    it('does a transaction whole', async () => {
      assert.deepEqual(await client.multi().set('a', '1').incr('a').get('a').exec(), ['OK', 2, '2']);
    });

    it('does no transaction when a watched key changed', async () => {
      const lease = await client.acquire();
      await lease.watch('a');
      await client.set('a', '7');
      await assert.rejects(lease.multi().set('a', '8').exec(), /watch/i);
      lease.release();
      assert.equal(await client.get('a'), '7');
    });

    it('publishes and subscribes', async () => {
      const heard = [];
      await client.subscribe('news', (message) => heard.push(message));
      await waitUntil('the subscription', async () => (await client.publish('news', 'hi')) === 1);
      await waitUntil('the message', () => heard.length > 0);
      assert.deepEqual(heard, ['hi']);
      await client.unsubscribe('news');
    });

    it('goes on after the primary was killed, and what it was told is there', async (test) => {
      await killPrimaryWhileWriting(test, {
        name: `node-redis-resp${RESP}`,
        set: (key, value) => client.set(key, value),
        incr: (key) => client.incr(key),
        get: (key) => client.get(key),
        mayRepeat: true,
      });
    });
  });
}
