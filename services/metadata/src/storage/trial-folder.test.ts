import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openTrialFolder } from './trial-folder.ts'

const root = mkdtempSync(join(tmpdir(), 'trial-'))
const before = process.env['TMPDIR']
process.env['TMPDIR'] = root
after(() => {
  if (before === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = before
  rmSync(root, { recursive: true, force: true })
})

test('the folder of a server that lives stays, whatever the next one thinks of its process id', async () => {
  const first = await openTrialFolder(0)
  writeFileSync(join(first.path, 'data'), 'kept')
  const second = await openTrialFolder(0)
  assert.ok(existsSync(join(first.path, 'data')))
  assert.equal(statSync(first.path).mode & 0o077, 0, 'nobody else may look into it')
  first.remove()
  second.remove()
  assert.ok(!existsSync(first.path))
})

test('the folder of a server that was killed goes away', async () => {
  const script = `import { openTrialFolder } from ${JSON.stringify(import.meta.resolve('./trial-folder.ts'))}
    console.log((await openTrialFolder(60_000)).path)
    process.kill(process.pid, 'SIGKILL')`
  const argv = ['--conditions=development', '--input-type=module', '--eval', script]
  const abandoned = spawnSync(process.execPath, argv, { encoding: 'utf8' }).stdout.trim()
  assert.ok(existsSync(abandoned), abandoned)
  const next = await openTrialFolder(0)
  assert.ok(!existsSync(abandoned))
  next.remove()
})

test('a folder of another user is left alone', {
  skip: process.getuid?.() !== 0 && 'only root can give one away',
}, async () => {
  const foreign = join(root, 'parsec-mocked-foreign')
  mkdirSync(foreign)
  chownSync(foreign, 4321, 4321)
  const next = await openTrialFolder(0)
  assert.ok(existsSync(foreign))
  next.remove()
})
