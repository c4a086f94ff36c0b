import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noticesVanished } from './nats.ts'

test('only servers from 2.9.16 on notice a client that vanished while it is asked', () => {
  for (const version of ['2.9.10', '2.9.15', '1.4.1', '2.1.20']) assert.equal(noticesVanished(version), false, version)
  for (const version of ['2.9.16', '2.9.25', '2.10.0', '2.12.8', '2.15.0-RC.1', '3.0.0'])
    assert.equal(noticesVanished(version), true, version)
})
