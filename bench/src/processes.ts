/** The bench's own child processes: load generators and ceilings. They are told what to do by messages. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Job } from './load.ts'
import type { LoadResult } from './meter.ts'

export type Task<Input = unknown> = { id: number; input: Input }
export type Answer = { id: number; output?: unknown; error?: string }

/** Jiffies per second in /proc (USER_HZ), the same on every Linux. */
const JIFFIES_PER_SECOND = 100

/** A forked module that answers tasks; it ends with this process. */
export class Worker {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (output: unknown) => void; reject: (error: Error) => void }>()
  #nextId = 1

  /** `module` is relative to this folder. */
  constructor(module: string) {
    this.#child = fork(fileURLToPath(import.meta.resolve(module)), {
      serialization: 'advanced',
      execArgv: ['--conditions=development'],
    })
    this.#child.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if (answer.error !== undefined) waiting?.reject(new Error(`${module}: ${answer.error}`))
      else waiting?.resolve(answer.output)
    })
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${module} ended (${signal ?? code})`))
    })
  }
  get pid(): number {
    return this.#child.pid!
  }
  ask(input: unknown): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, input } satisfies Task)
    })
  }
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}

export class LoadProcess {
  readonly #worker = new Worker('./load-process.ts')
  get pid(): number {
    return this.#worker.pid
  }
  async run(job: Job & { job: 'commands' | 'handshakes' | 'fanout' | 'objects' }): Promise<LoadResult>
  async run(job: Job): Promise<LoadResult | null>
  async run(job: Job): Promise<LoadResult | null> {
    return (await this.#worker.ask(job)) as LoadResult | null
  }
  end(): Promise<void> {
    return this.#worker.end()
  }
}

/** Bytes of a process that are in memory now. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  if (kib === undefined) throw new Error(`no memory figures of process ${pid}`)
  return Number(kib) * 1024
}

/** Milliseconds of processor time that a process has used. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / JIFFIES_PER_SECOND
}

/** The processes that a process has started. */
export const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number)

/** A TCP port on the loopback interface that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
