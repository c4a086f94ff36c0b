/** Releases that follow one another while clients work: forth and back, one process after the other. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Cluster, Program } from '../../harness/launch.ts'

/** What a reply says when two releases do not understand each other. */
const MISUNDERSTOOD = /bad_message|unknown_command|not_implemented|timeout|error/

/** Restarts every process, in order, with that program; each works before the next one goes, and has so long at least. */
export async function roll(cluster: Cluster, program: Program, eachMs: number): Promise<void> {
  for (const server of cluster.processes.values()) {
    const due = performance.now() + eachMs
    server.program = program
    await server.restart('SIGTERM')
    while (!(await server.isReady())) await pause(50)
    await pause(Math.max(due - performance.now(), 0))
  }
}

/** Outcomes of commands that no fault of the cluster explains. */
export const misunderstandings = (outcomes: { readonly [outcome: string]: number }): string[] =>
  Object.keys(outcomes).filter(outcome => MISUNDERSTOOD.test(outcome))
