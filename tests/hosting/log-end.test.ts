/** The log never holds up the end of the server, whatever becomes of those who should read it (DESIGN §11). */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isListening } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'
import { until } from './installation.ts'

const folder = mkdtempSync(join(tmpdir(), 'parsec-log-end-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** More lines than a pipe holds. */
const REQUESTS = 1_500

type Streams = {
  stdio: ('ignore' | 'pipe' | number)[]
  flags?: readonly string[]
  prepare?: (child: ChildProcess) => void
}

/** Starts a server, makes it log more than anybody takes, and asks it to end; resolves to its exit code. */
async function endOf({ stdio, flags = [], prepare }: Streams): Promise<number | null> {
  const port = await freePort()
  const argv = [...NODE_ARGV, 'backend', 'run', '--dev', `--port=${port}`, '--log-level=DEBUG', ...flags]
  const env = { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder }
  const child = spawn(process.execPath, argv, { stdio: stdio as 'pipe'[], env })
  const killed = setTimeout(() => child.kill('SIGKILL'), 30_000)
  await until('the server listens', () => isListening(port))
  prepare?.(child)
  for (let i = 0; i < REQUESTS; i += 50)
    await Promise.all(
      Array.from({ length: 50 }, async () => (await fetch(`http://127.0.0.1:${port}/none`)).arrayBuffer()),
    )
  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  clearTimeout(killed)
  return code
}

test('a reader that does not read: the end comes in order (pipe)', async () => {
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  assert.equal(await endOf({ stdio: ['ignore', fd, fd] }), 0)
})

test('a reader that does not read: the end comes in order (socket)', async () => {
  assert.equal(await endOf({ stdio: ['ignore', 'pipe', 'pipe'] }), 0)
})

test('a reader that has gone: the server goes on and ends in order', async () => {
  const close = ({ stdout, stderr }: ChildProcess) => {
    stdout?.destroy()
    stderr?.destroy()
  }
  assert.equal(await endOf({ stdio: ['ignore', 'pipe', 'pipe'], prepare: close }), 0)
})

test('a full disk: the server starts, goes on and ends in order', async () => {
  assert.equal(await endOf({ stdio: ['ignore', 'ignore', 'ignore'], flags: ['--log-file=/dev/full'] }), 0)
  const full = openSync('/dev/full', constants.O_WRONLY)
  assert.equal(await endOf({ stdio: ['ignore', full, full] }), 0)
})

test('a command whose output cannot be written does not say that all is well', () => {
  const full = openSync('/dev/full', constants.O_WRONLY)
  const argv = [...NODE_ARGV, 'backend', 'run', '--help']
  const { status, stderr } = spawnSync(process.execPath, argv, { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' })
  assert.equal(status, 1)
  assert.match(stderr, /^Error: cannot write the output: ENOSPC/)
})
