/**
 * The randomized run on one server of workers: one of them is killed or hangs again and again, its database vanishes.
 * `RANDOM_SEED` repeats a run, `RANDOM_SECONDS` goes on longer.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Cluster, ServerProcess } from '../harness/launch.ts'
import { type Befall, randomizedRun } from '../resilience/random/run.ts'

const SECONDS = Number(process.env['RANDOM_SECONDS'] ?? 60)
const SEED = Number(process.env['RANDOM_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** The process of each worker at the moment. */
function watchWorkers(server: ServerProcess): Map<string, number> {
  const pids = new Map<string, number>()
  const note = (text: string) => {
    for (const [, pid, worker] of text.matchAll(/Worker serves +pid=(\d+) worker=(\d)/g)) pids.set(worker!, Number(pid))
  }
  note(server.output)
  server.hear(note)
  return pids
}

const befall: Befall = async (cluster: Cluster, random, over) => {
  const done: string[] = []
  const server = cluster.process('server')
  const pids = watchWorkers(server)
  const faults: { [name: string]: () => Promise<void> | void } = {
    killed: () => void process.kill(victim(), 'SIGKILL'),
    hangs: () => void process.kill(victim(), 'SIGSTOP'),
    'hangs for a while': async () => {
      const pid = victim()
      process.kill(pid, 'SIGSTOP')
      await pause(500 + random() * 2_000)
      process.kill(pid, 'SIGCONT')
    },
    'database connections reset': () => cluster.databaseProxy!.reset(),
    'database silent': async () => {
      cluster.databaseProxy!.set({ kind: 'silent' })
      await pause(300 + random() * 3_000)
      cluster.databaseProxy!.heal()
    },
  }
  const victim = (): number => {
    const all = [...pids.values()]
    return all[Math.floor(random() * all.length)]!
  }
  while (!over.aborted) {
    await pause(1_000 + random() * 4_000)
    const names = Object.keys(faults)
    const name = names[Math.floor(random() * names.length)]!
    done.push(name)
    try {
      await faults[name]!()
    } catch (error) {
      // The victim may be gone, and not yet replaced.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
    if (!server.isRunning) throw new Error(`the server ended by itself after "${name}":\n${server.output}`)
  }
  return done
}

test('whatever befalls the workers, what clients were told holds', { timeout: SECONDS * 1_000 + 240_000 }, async t => {
  const launch = { topology: 'workers', isDatabaseProxied: true } as const
  const report = await randomizedRun({ seconds: SECONDS, seed: SEED, befall, launch })
  t.diagnostic(`seed ${report.seed}, ${report.faults.join(', ')}, ${JSON.stringify(report.outcomes)}`)
  assert.deepEqual(report.violations, [], `seed ${report.seed}, faults: ${report.faults.join(', ')}`)
  assert.ok((report.outcomes['write ok'] ?? 0) > SECONDS, 'something was written between the faults')
})
