/** CONTRIBUTING.md, "Your first change", followed literally in a copy of the repository. */
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
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { freePort } from '../harness/ports.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)
const copy = mkdtempSync(join(tmpdir(), 'parsec-first-change-'))
after(() => rmSync(copy, { recursive: true, force: true }))

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
  copyRepository()
  const page = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8')
  const patches = [...page.matchAll(/```diff\n(.*?)```/gs)].map(([, patch]) => patch!)
  assert.equal(patches.length, 3)
  for (const patch of patches) {
    writeFileSync(join(copy, 'step.diff'), patch)
    await run('git', ['apply', '--unsafe-paths', '--directory', copy, 'step.diff'], { cwd: copy })
  }
  await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-b', 'services/metadata'], { cwd: copy })
  const port = await freePort()
  const argv = [
    '--conditions=development',
    join(copy, 'cli/bin/parsec.js'),
    'backend',
    'run',
    '--dev',
    `--port=${port}`,
  ]
  const server = new Child('first change', process.execPath, argv, {
    PATH: process.env['PATH'],
    HOME: copy,
    TMPDIR: copy,
  })
  try {
    await server.until(() => isListening(port))
    const suite = join(copy, 'tests/conformance/run.mjs')
    const asked = ['--url', `ws://127.0.0.1:${port}`, '--token', 's3cr3t', '--only', '05-data §11']
    const { stdout } = await run(process.execPath, [suite, ...asked])
    assert.match(stdout, /^[1-9]\d* passed, 0 failed/m)
  } finally {
    await server.end()
  }
})
