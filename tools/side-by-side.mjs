/**
 * Which test files run beside one another: as many as the processors can carry, the long ones first, so that the last
 * ones to end are short.
 */
import { availableParallelism } from 'node:os'

/**
 * Processors that a file keeps busy. A server that is tested waits for its database and its clients, a test for a server
 * that starts; some mostly wait, for a time that is part of the test; some do as much at once as clients can, and would
 * only run into the deadlines of the server beside another.
 */
const WAITS = 0.4
const USUAL = 0.7
const ALONE = 2
/** Seconds on two processors, and the share, where they are not the usual ones; a file that is not here is short. */
const COSTS = {
  'tests/resilience/random.test.ts': [175, WAITS],
  'tests/blockstore/faults.test.ts': [125, WAITS],
  'tests/conformance-a.test.ts': [120, USUAL],
  'tests/conformance-b.test.ts': [65, ALONE],
  'tests/fuzz/commands.test.ts': [65, USUAL],
  'tests/takeover/import.test.ts': [40, USUAL],
  'tests/postgres/bulk.test.ts': [33, USUAL],
  'tests/packaging/hosting-examples.test.ts': [31, USUAL],
  'tests/story/sequester.test.ts': [30, WAITS],
  'tests/resilience/two-releases.test.ts': [28, USUAL],
  'tests/invitation/presence.test.ts': [26, WAITS],
  'tests/postgres/contract.test.ts': [26, WAITS],
  'tests/blockstore/scrub.test.ts': [25, USUAL],
  'tests/resilience/nats-cluster.test.ts': [24, WAITS],
  'tests/limits/messages.test.ts': [23, USUAL],
  'tests/resilience/postgres-failover.test.ts': [20, USUAL],
  'tests/story/reencryption.test.ts': [19, ALONE],
  'tests/hosting/log-end.test.ts': [19, USUAL],
  'tests/takeover/levels.test.ts': [18, USUAL],
  'tests/administration/deletion.test.ts': [18, USUAL],
  'tests/blockstore/raid.test.ts': [17, WAITS],
  'tests/blockstore/concurrent.test.ts': [16, ALONE],
  'tests/resilience/kill-replicas.test.ts': [13, ALONE],
}
const SHORT = [10, USUAL]

/**
 * Runs each file with its own lane: no two that run at the same time have the same one, and the number of lanes is
 * what is told with it.
 */
export async function sideBySide(files, run) {
  const processors = availableParallelism()
  const waiting = files
    .map(file => {
      const [seconds, share] = COSTS[file] ?? SHORT
      return { file, seconds, share: Math.min(share, processors) }
    })
    .sort((a, b) => b.seconds - a.seconds)
  const lanes = Math.ceil(processors / WAITS)
  const free = Array.from({ length: lanes }, (_, lane) => lane)
  const running = new Set()
  let busy = 0
  const start = ({ file, share }) => {
    const lane = free.shift()
    busy += share
    const work = run(file, { lane, lanes }).finally(() => {
      busy -= share
      free.push(lane)
      running.delete(work)
    })
    running.add(work)
  }
  while (waiting.length > 0) {
    const next = waiting.findIndex(({ share }) => busy + share <= processors)
    if (next >= 0) start(waiting.splice(next, 1)[0])
    else await Promise.race(running)
  }
  await Promise.all(running)
}
