/** What may befall a cluster, in random order, each over after seconds. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Cluster, ServerProcess } from '../../harness/launch.ts'

type Fault = { readonly name: string; run(cluster: Cluster, random: () => number): Promise<void> }

/** Of these any one may be away: the other goes on. */
const PROCESSES = ['metadata-1', 'metadata-2', 'blockstore-1', 'blockstore-2', 'gateway-1', 'gateway-2']

const FAULTS: readonly Fault[] = [
  { name: 'kill', run: (cluster, random) => victim(cluster, random).restart('SIGKILL') },
  { name: 'restart in order', run: (cluster, random) => victim(cluster, random).restart('SIGTERM') },
  {
    name: 'stopped for a while',
    run: async (cluster, random) => {
      const process = victim(cluster, random)
      process.signal('SIGSTOP')
      await pause(500 + random() * 3_000)
      process.signal('SIGCONT')
    },
  },
  { name: 'database connections reset', run: async cluster => cluster.databaseProxy!.reset() },
  { name: 'database says its last word', run: async cluster => cluster.databaseProxy!.halfClose() },
  { name: 'database fails over without a word', run: async cluster => cluster.databaseProxy!.forget() },
  { name: 'database silent', run: (cluster, random) => during(cluster.databaseProxy!, { kind: 'silent' }, random) },
  {
    name: 'database slow',
    run: (cluster, random) => during(cluster.databaseProxy!, { kind: 'delay', ms: 40 }, random),
  },
  { name: 'database refuses', run: (cluster, random) => during(cluster.databaseProxy!, { kind: 'refuse' }, random) },
  { name: 'broker connections reset', run: async cluster => cluster.natsProxy!.reset() },
  { name: 'broker away', run: (cluster, random) => during(cluster.natsProxy!, { kind: 'reset' }, random) },
  { name: 'broker forgets', run: async cluster => cluster.natsProxy!.forget() },
  { name: 'broker slow', run: (cluster, random) => during(cluster.natsProxy!, { kind: 'delay', ms: 40 }, random) },
]

type Proxy = NonNullable<Cluster['databaseProxy']>
async function during(proxy: Proxy, fault: Parameters<Proxy['set']>[0], random: () => number): Promise<void> {
  proxy.set(fault)
  await pause(300 + random() * 3_000)
  proxy.heal()
}
const victim = (cluster: Cluster, random: () => number): ServerProcess =>
  cluster.process(PROCESSES[Math.floor(random() * PROCESSES.length)]!)

/** One fault after another until `over`; tells the process that it ends, and what it did. */
export async function makeFaults(cluster: Cluster, random: () => number, over: AbortSignal): Promise<string[]> {
  const done: string[] = []
  while (!over.aborted) {
    await pause(500 + random() * 2_500)
    const fault = FAULTS[Math.floor(random() * FAULTS.length)]!
    done.push(fault.name)
    await fault.run(cluster, random)
    const gone = [...cluster.processes.values()].filter(process => !process.isRunning)
    for (const process of gone)
      throw new Error(`${process.name} ended by itself after "${fault.name}":\n${process.output}`)
  }
  return done
}

/** A repeatable series of numbers from 0 to 1. */
export function randomFrom(seed: number): () => number {
  const state = { at: seed >>> 0 }
  return () => {
    state.at = (state.at + 0x6d2b79f5) >>> 0
    let t = Math.imul(state.at ^ (state.at >>> 15), state.at | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
