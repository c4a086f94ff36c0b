import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from './metrics.ts'

test('what is counted and what waits is exposed as it is at that moment', async () => {
  const metrics = await createMetrics()
  const pool = { connections: 5, idle: 2, waiting: 7, waitedSeconds: 0.25 }
  metrics.pool(() => pool)
  metrics.lanes('metadata', () => ({ light: { running: 3, waiting: 1, refused: 2, waitedSeconds: 1.5 } }))
  metrics.request('vlob_read', 'ok', 0.002)
  pool.waiting = 8
  const { body } = await metrics.expose()
  for (const line of [
    'parsec_database_connections 5',
    'parsec_database_idle 2',
    'parsec_database_waiting 8',
    'parsec_database_waited_seconds_total 0.25',
    'parsec_lane_running{service="metadata",lane="light"} 3',
    'parsec_lane_refused_total{service="metadata",lane="light"} 2',
    'parsec_requests_total{cmd="vlob_read",status="ok"} 1',
  ])
    assert.ok(body.includes(`\n${line}\n`), `${line} in\n${body}`)
})

test('nodes tell whether they are up, and of damage from the start, so that the first one is an increase', async () => {
  const metrics = await createMetrics()
  const node = { name: 'file /blocks', isUp: true }
  metrics.nodes(() => [node])
  const count = (outcome: string) =>
    `parsec_blockstore_seconds_count{node="file /blocks",operation="read",outcome="${outcome}"}`
  for (const line of ['parsec_blockstore_up{node="file /blocks"} 1', `${count('missing')} 0`, `${count('corrupt')} 0`])
    assert.ok((await metrics.expose()).body.includes(`\n${line}\n`), line)
  node.isUp = false
  metrics.blockstore('file /blocks', 'read', 'missing', 0.001)
  for (const line of ['parsec_blockstore_up{node="file /blocks"} 0', `${count('missing')} 1`])
    assert.ok((await metrics.expose()).body.includes(`\n${line}\n`), line)
})
