import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { Budget } from '@parsec/shared/budget'
import { Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { Periodic } from './periodic.ts'

function recording(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const note = (event: string) => void lines.push(event)
  const log: Log = { debug: note, info: note, warning: note, error: note, critical: note, child: () => log }
  return { log, lines }
}

for (const isStopped of [true, false])
  test(`a run that ends in vain is a warning${isStopped ? ', but not when it was given up since the server stops' : ''}`, async () => {
    const { log, lines } = recording()
    const [begun, again] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let runs = 0
    let given: Budget | undefined
    const periodic = new Periodic({
      ...{ name: 'test', everyMs: 1, deadlineMs: 10_000, log },
      work: async budget => {
        given = budget
        runs++
        begun.resolve()
        if (runs > 1) again.resolve()
        if (isStopped) await new Promise(() => {})
        throw new Unavailable('nothing there')
      },
    })
    periodic.start()
    await (isStopped ? begun.promise : again.promise)
    await periodic.stop()
    assert.deepEqual([...new Set(lines)], isStopped ? [] : ['Service unavailable'])
    if (isStopped) assert.equal(given!.reason?.message, 'the server stops')
  })

test('no run begins while another goes on, however long that takes, nor after the end; the next ones do', async () => {
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    const ends: (() => void)[] = []
    const periodic = new Periodic({
      ...{ name: 'test', everyMs: 10, deadlineMs: 60_000, log: recording().log },
      work: () => new Promise(resolve => ends.push(resolve)),
    })
    periodic.start()
    mock.timers.tick(50)
    assert.equal(ends.length, 1)
    ends[0]!()
    await new Promise(setImmediate)
    mock.timers.tick(10)
    assert.equal(ends.length, 2)
    await periodic.stop()
    mock.timers.tick(50)
    assert.equal(ends.length, 2)
  } finally {
    mock.timers.reset()
  }
})
