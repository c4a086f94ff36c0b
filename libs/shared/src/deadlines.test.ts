/** The sums of the deadlines: whoever waits outside waits longer than all that happens inside. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as deadlines from './deadlines.ts'
import { internalRequests } from './protocol/internal.ts'
import { everyCommand } from './protocol/registry.ts'

const d = deadlines

test('a command ends before its gateway gives it up: what it asks outside, and metadata work besides', () => {
  assert.ok(d.ANSWER_MARGIN_MS * 4 < d.METADATA_DEADLINE_MS)
  assert.ok(d.WEBHOOKS_MS + d.METADATA_DEADLINE_MS + d.ANSWER_MARGIN_MS < d.SEQUESTER_DEADLINE_MS)
  assert.ok(d.SMTP_MS + d.METADATA_DEADLINE_MS + d.ANSWER_MARGIN_MS < d.MAIL_DEADLINE_MS)
  assert.ok(d.BOOTSTRAP_WEBHOOK_MS + d.METADATA_DEADLINE_MS + d.ANSWER_MARGIN_MS < d.BOOTSTRAP_DEADLINE_MS)
  assert.ok(d.SMTP_CONNECT_MS < d.SMTP_SILENCE_MS && d.SMTP_SILENCE_MS < d.SMTP_MS)
})

test('a step of a deletion ends within its request, and a call with its last step within what callers wait', () => {
  assert.ok(d.DELETION_WORK_MS + d.DATABASE_STATEMENT_MS + d.ANSWER_MARGIN_MS < d.DELETION_DEADLINE_MS)
  assert.ok(d.DELETION_CALL_MS + 2 * d.DELETION_DEADLINE_MS < d.ADMIN_CALL_MS)
})

test('a lost broker is noticed before the longest request is over', () => {
  const noticed = d.NATS_PING_INTERVAL_MS * (d.NATS_MAX_PINGS_OUT + 1)
  assert.ok(noticed < d.BLOCK_DEADLINE_MS)
})

test('a worker that hangs is given up before the others give up waiting for it', () => {
  assert.ok((d.RELAY_UNANSWERED_TICKS + 2) * d.RELAY_TICK_MS < d.RELAY_ANSWER_MS)
  assert.ok(d.RELAY_ANSWER_MS < d.NATS_PING_INTERVAL_MS * (d.NATS_MAX_PINGS_OUT + 1))
  assert.ok(d.SHUT_DOWN_MS + 3 * d.DRAIN_LATE_MS < d.WORKER_END_MS && d.WORKER_END_MS < 10_000)
  assert.ok(d.WORKER_AGAIN_MS < d.WORKER_AGAIN_MAX_MS && d.WORKER_AGAIN_MAX_MS < d.WORKER_SETTLED_MS)
})

test('leases outlive what renews them, and the end of a process fits into what supervisors wait', () => {
  assert.ok(d.NEIGHBOURS_EVERY_MS * 3 + d.NEIGHBOURS_MS <= d.NEIGHBOURS_LEASE_MS)
  assert.ok(d.ROLL_EVERY_MS * 3 <= d.ROLL_LEASE_MS && d.SEEN_EVERY_MS < d.SEEN_AGAIN_MS)
  assert.ok(d.OUTBOX_SWEEP_MS < d.OUTBOX_SETTLED_MS && d.OUTBOX_SETTLED_MS < d.OUTBOX_WHOLE_SWEEP_MS)
  assert.ok(d.SHUT_DOWN_MS + 4 * d.DRAIN_LATE_MS <= 10_000)
  assert.ok(d.HTTP_CLOSE_GRACE_MS < d.SHUT_DOWN_STEP_MS && d.ABORT_MARGIN_MS < d.DRAIN_RESERVE_MS)
})

test('no other file defines a time', () => {
  const root = new URL('../../../', import.meta.url)
  const sources = globSync('{libs,services}/*/src/**/*.ts', { cwd: root }).concat(
    globSync('cli/src/**/*.ts', { cwd: root }),
  )
  const others = sources.filter(file => !file.endsWith('.test.ts') && !file.endsWith('src/deadlines.ts'))
  assert.ok(others.length > 100)
  const definition = /^(?:export )?const \w+(?:_MS|TIMEOUT) =/m
  assert.deepEqual(
    others.filter(file => definition.test(readFileSync(new URL(file, root), 'utf8'))),
    [],
  )
})

test('the protocol table knows no deadline of its own', () => {
  const known = new Set<number>(Object.values(deadlines))
  for (const { name, deadlineMs, slow } of everyCommand) {
    assert.ok(known.has(deadlineMs), name)
    if (slow) assert.ok(known.has(slow.deadlineMs) && slow.deadlineMs > deadlineMs, name)
  }
  for (const [name, { deadlineMs }] of Object.entries(internalRequests)) assert.ok(known.has(deadlineMs), name)
})

test('a database that is silent, or a lock that is held, is given up within a command', () => {
  assert.ok(d.DATABASE_LOCK_TIMEOUT_MS + d.ANSWER_MARGIN_MS < d.METADATA_DEADLINE_MS)
  assert.ok(d.DATABASE_PROBE_MS + d.ANSWER_MARGIN_MS < d.METADATA_DEADLINE_MS)
  assert.ok(d.DATABASE_WAIT_MS < d.METADATA_DEADLINE_MS && d.DATABASE_CONNECT_MS < d.METADATA_DEADLINE_MS)
  // PostgreSQL's own end of a statement is for those that nobody is left to cancel.
  assert.ok(Math.max(d.BLOCK_DEADLINE_MS, d.SEQUESTER_DEADLINE_MS) < d.DATABASE_STATEMENT_TIMEOUT_MS)
})
