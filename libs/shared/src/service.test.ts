/** The end of a process: in order, within its time, whatever hangs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Log } from './log.ts'
import { type Service, shutDown } from './service.ts'

const recorded = () => {
  const lines: string[] = []
  const log: Log = {
    debug() {},
    info() {},
    warning() {},
    error: (_event, keys) => void lines.push(`${keys?.['service']} ${keys?.['step']}`),
    critical() {},
    child: () => log,
  }
  return { lines, log }
}
const never = () => new Promise<never>(() => {})

test('services drain and stop in reverse order and share the time; the first leaves some for those behind', async () => {
  const { lines, log } = recorded()
  const steps: string[] = []
  const given: number[] = []
  const service = (name: string): Service => ({
    name,
    readiness: () => ({ ready: true, detail: {} }),
    drain: async ms => {
      steps.push(`${name} drains`)
      given.push(ms)
    },
    stop: async () => void steps.push(`${name} stops`),
  })
  const rest = [{ name: 'bus', close: async () => void steps.push('bus closes') }]
  await shutDown([service('metadata'), service('gateway')], rest, log, 4_000)
  assert.deepEqual(steps, ['gateway drains', 'metadata drains', 'gateway stops', 'metadata stops', 'bus closes'])
  assert.ok(given[0]! <= 3_000 && given[1]! > 3_000 && given[1]! <= 4_000, String(given))
  assert.deepEqual(lines, [])
})

test('what never ends, throws or rejects is left behind, and said', async () => {
  const { lines, log } = recorded()
  const steps: string[] = []
  const hanging: Service = {
    name: 'gateway',
    readiness: () => ({ ready: true, detail: {} }),
    drain: never,
    stop: never,
  }
  const throwing: Service = {
    ...hanging,
    name: 'metadata',
    drain: () => Promise.reject(new Error('no')),
    stop: () => {
      throw new Error('no')
    },
  }
  const rest = [
    { name: 'http', close: never },
    { name: 'bus', close: async () => void steps.push('bus closes') },
    { name: 'database', close: () => undefined },
  ]
  await shutDown([throwing, hanging], rest, log, 0)
  assert.deepEqual(lines, ['gateway drain', 'metadata drain', 'gateway stop', 'metadata stop', 'http close'])
  assert.deepEqual(steps, ['bus closes'])
})
