/** What CONTRIBUTING.md says, followed literally in a copy of the repository: the first change, another service. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { freePort } from '../harness/ports.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)
const copy = mkdtempSync(join(tmpdir(), 'parsec-first-change-'))
const PARSEC = ['--conditions=development', join(copy, 'cli/bin/parsec.js')]
after(() => rmSync(copy, { recursive: true, force: true }))

before(copyRepository)

/** The sources, beside packages that lead back to them and not to the repository's own. */
function copyRepository(): void {
  const files = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n')
  for (const file of files.filter(f => /^(?:libs|services|cli|tests\/conformance)\/|^[\w.-]+\.json$/.test(f))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    copyFileSync(join(ROOT, file), join(copy, file))
  }
  const packages = join(copy, 'node_modules')
  mkdirSync(join(packages, '@parsec'), { recursive: true })
  for (const name of readdirSync(join(ROOT, 'node_modules')))
    if (name !== '@parsec') symlinkSync(join(ROOT, 'node_modules', name), join(packages, name))
  const own = { shared: 'libs/shared', metadata: 'services/metadata', gateway: 'services/gateway' }
  const rest = { blockstore: 'services/blockstore', admin: 'services/admin', cli: 'cli' }
  for (const [name, folder] of Object.entries({ ...own, ...rest }))
    symlinkSync(join(copy, folder), join(packages, '@parsec', name))
}

test('the first change works as CONTRIBUTING.md says', async () => {
  const page = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8')
  const patches = [...page.matchAll(/```diff\n(.*?)```/gs)].map(([, patch]) => patch!)
  assert.equal(patches.length, 3)
  for (const patch of patches) {
    writeFileSync(join(copy, 'step.diff'), patch)
    await run('git', ['apply', '--unsafe-paths', '--directory', copy, 'step.diff'], { cwd: copy })
  }
  await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-b', 'services/metadata'], { cwd: copy })
  const { server, port } = await startCopy()
  try {
    const suite = join(copy, 'tests/conformance/run.mjs')
    const asked = ['--url', `ws://127.0.0.1:${port}`, '--token', 's3cr3t', '--only', '05-data §11']
    const { stdout } = await run(process.execPath, [suite, ...asked])
    assert.match(stdout, /^[1-9]\d* passed, 0 failed/m)
  } finally {
    await server.end()
  }
})

/** A service that only says that it is there. */
const LIBRARY = `
  library: {
    needs: [],
    start: async () => ({
      name: 'library',
      readiness: () => ({ ready: true, detail: { library: 'open' } }),
      drain: async () => {},
      stop: async () => {},
    }),
  },
}

`

test('a service is a name and a row, as CONTRIBUTING.md says: it is offered, runs, and is seen', async () => {
  change('libs/shared/src/protocol/command.ts', "'admin'] as const", "'admin', 'library'] as const")
  change('cli/src/server/services.ts', '\n}\n\nconst everyName', `${LIBRARY}const everyName`)
  const monitor = await freePort()
  const { server, port } = await startCopy([`--monitor-port=${monitor}`])
  try {
    const ready = await fetch(`http://127.0.0.1:${monitor}/readyz`)
    assert.equal(ready.status, 200)
    assert.match(await ready.text(), /"library":"open"/)
    const services = await fetch(`http://127.0.0.1:${port}/administration/v2/services`, {
      headers: { authorization: 'Bearer s3cr3t' },
    })
    assert.match(await services.text(), /"service":"library"/)
  } finally {
    await server.end()
  }
  const { stdout } = await run(process.execPath, [...PARSEC, 'backend', 'run', '--help'])
  assert.match(stdout.replace(/\s+/g, ' '), /gateway, metadata, blockstore, admin, library/)
})

function change(file: string, from: string, to: string): void {
  const text = readFileSync(join(copy, file), 'utf8')
  assert.ok(text.includes(from), file)
  writeFileSync(join(copy, file), text.replace(from, to))
}

async function startCopy(options: readonly string[] = []): Promise<{ server: Child; port: number }> {
  const port = await freePort()
  const argv = [...PARSEC, 'backend', 'run', '--dev', `--port=${port}`, ...options]
  const server = new Child('copy', process.execPath, argv, { PATH: process.env['PATH'], HOME: copy, TMPDIR: copy })
  return { server: await server.until(() => isListening(port)), port }
}
