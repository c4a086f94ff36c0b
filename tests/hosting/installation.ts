/** Servers started from a shell, as an administrator starts them: a command, options, variables, a folder. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Context, Uuid } from '../conformance/harness.mjs'
import { isListening } from '../harness/backing.ts'
import { Child, type Environment } from '../harness/child.ts'
import { NODE_ARGV } from '../harness/launch.ts'

/** Runs `parsec` from the sources of the repository. */
export const FROM_SOURCES: readonly string[] = [process.execPath, ...NODE_ARGV]

/** A command that is run in an empty folder of its own, with nothing of our environment but PATH. */
export class Shell {
  readonly folder: string
  readonly #command: readonly string[]
  readonly #children: Child[] = []

  private constructor(folder: string, command: readonly string[]) {
    this.folder = folder
    this.#command = command
  }
  static async open(command: readonly string[] = FROM_SOURCES): Promise<Shell> {
    return new Shell(await mkdtemp(join(tmpdir(), 'parsec-shell-')), command)
  }

  start(argv: readonly string[], env: Environment = {}): Child {
    const [program, ...words] = [...this.#command, ...argv]
    const own = { PATH: process.env.PATH, HOME: this.folder, TMPDIR: this.folder, LC_ALL: 'C.UTF-8' }
    const child = new Child(`parsec ${argv.join(' ')}`, program!, words, { ...own, ...env })
    this.#children.push(child)
    return child
  }
  /** Resolves when the port is open. */
  serve(port: number, argv: readonly string[], env: Environment = {}): Promise<Child> {
    return this.start(argv, env).until(() => isListening(port))
  }
  /** Resolves when it has ended. */
  async run(argv: readonly string[], env: Environment = {}): Promise<Child> {
    const child = this.start(argv, env)
    await child.exited
    return child
  }
  async close(): Promise<void> {
    await Promise.all(this.#children.map(child => child.end()))
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Resolves when something holds, for what a process tells only by its output. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}

/** Throws unless an organization can be created and bootstrapped, and what one device writes another reads. `url`: `ws://…`. */
export async function assertWorks(url: string, token: string): Promise<void> {
  const client = new Context({ url, token, target: 'ours', features: new Set() })
  try {
    const { id, alice } = await client.org()
    const laptop = await client.connect(alice)
    const realm_id = await client.realm(laptop, alice)
    const { vlob_id, blob } = await client.vlob(laptop, realm_id)
    const block_id = new Uuid()
    const block = Buffer.from(`a block of ${id}`)
    await laptop.ok('block_create', { block_id, realm_id, block })
    const phone = await client.connect(await client.device(laptop, alice))
    const read = await phone.ok('vlob_read', { encryption_revision: 1, vlob_id, version: null, timestamp: null })
    assert.ok(blob.equals(read.blob), 'the blob that was written')
    assert.ok(block.equals((await phone.ok('block_read', { block_id })).block), 'the block that was written')
  } finally {
    await client.end()
  }
}

export type Certificate = { readonly key: string; readonly cert: string; readonly pem: string }
/** A key and a certificate of its own for localhost and 127.0.0.1, as files `<name>.key` and `<name>.pem`. */
export async function makeCertificate(folder: string, name: string): Promise<Certificate> {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', key, '-out', cert],
  ])
  return { key, cert, pem: await readFile(cert, 'utf8') }
}
