/** What PostgreSQL spends on a database: the processor time of the processes that serve its connections. */
import { readdirSync, readFileSync } from 'node:fs'
import { query } from './backing.ts'

/** Milliseconds by process, without a vacuum that comes along; a process that began since an earlier look has spent everything since. Linux, same host. */
export async function backendsCpuMs(databaseUrl: string): Promise<ReadonlyMap<number, number>> {
  const rows = await query(
    databaseUrl,
    `SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
  )
  return new Map(rows.map(({ pid }) => [Number(pid), onProcessorMs(Number(pid))]))
}

export function spentMs(before: ReadonlyMap<number, number>, after: ReadonlyMap<number, number>): number {
  return [...after].reduce((sum, [pid, ms]) => sum + ms - (before.get(pid) ?? 0), 0)
}

/** Of all threads of a process that live now. */
export const threadsMs = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + onProcessorMs(Number(thread)), 0)

/** Of a thread, which may be a whole process, finer than the ticks of its other figures. */
export function onProcessorMs(pid: number): number {
  const [nanoseconds] = readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')
  return Number(nanoseconds) / 1e6
}
