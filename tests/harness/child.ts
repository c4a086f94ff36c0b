/** A child process: its output for the case that something fails, its end, and the promise that it never outlives the tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

export type Environment = { readonly [name: string]: string | undefined }

/** Characters of output that are kept. */
const KEPT_OUTPUT = 64 * 1024
const START_DEADLINE_MS = 60_000
const END_DEADLINE_MS = 15_000
const POLL_MS = 25
/** Where all output of servers is kept for `check-logs.ts`, if anywhere. */
const LOGS = process.env['PARSEC_TEST_LOGS']
/** Where the statements that servers prepare are written down, if anywhere (`npm run contract`). */
const STATEMENTS = process.env['PARSEC_TEST_STATEMENTS']
const RECORDED: Environment = STATEMENTS
  ? { STATEMENTS, NODE_OPTIONS: `--import=${import.meta.resolve('../postgres/contract/record.mjs')}` }
  : {}

const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

export class Child {
  readonly name: string
  readonly process: ChildProcess
  readonly exited: Promise<void>
  #output = ''

  constructor(name: string, command: string, argv: readonly string[], env: Environment) {
    this.name = name
    this.process = spawn(command, argv, {
      env: { ...env, ...RECORDED } as NodeJS.ProcessEnv,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    living.add(this.process)
    // Help names the token of `--dev`.
    const isLogged = LOGS !== undefined && argv.includes('backend') && !argv.includes('--help')
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream!.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT)
        if (isLogged) appendFileSync(join(LOGS, `${this.pid}.log`), text)
      })
    }
    this.exited = new Promise(resolve => {
      const ended = () => {
        living.delete(this.process)
        resolve()
      }
      this.process.once('error', error => {
        this.#output += String(error)
        ended()
      })
      this.process.once('close', ended)
    })
  }

  get pid(): number {
    return this.process.pid ?? 0
  }
  get isOver(): boolean {
    return !living.has(this.process)
  }
  get exitCode(): number | null {
    return this.process.exitCode
  }
  /** The last part of what it wrote to both streams. */
  get output(): string {
    return this.#output
  }

  /** Waits until `ready` says so; rejects when the child ends before, or takes too long. */
  async until(ready: () => Promise<boolean>): Promise<this> {
    const deadline = performance.now() + START_DEADLINE_MS
    while (!(await ready())) {
      if (this.isOver) throw new Error(`${this.name} ended at its start (${this.exitCode}):\n${this.#output}`)
      if (performance.now() > deadline) throw new Error(`${this.name} is not ready:\n${this.#output}`)
      await pause(POLL_MS)
    }
    return this
  }

  /** Asks it to end, insists when it does not. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.isOver) return
    this.process.kill(signal)
    const insist = setTimeout(() => this.process.kill('SIGKILL'), END_DEADLINE_MS)
    await this.exited
    clearTimeout(insist)
  }
}
