/** Each mistake of the table in docs/operations.md ends the start with that line, without any secret in it. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import { Shell } from './installation.ts'
import { commandLine, MISTAKES, type Scene, setScene, table } from './misconfigurations.ts'

/** Starts at once: most of the time is spent in starting Node. */
const ATONCE = 2
const made: { shell: Shell; database: TestDatabase; scene: Scene; close: () => void } = {} as never

before(async () => {
  made.shell = await Shell.open()
  made.database = await createDatabase()
  const { scene, server } = await setScene(made.shell.folder, made.database)
  Object.assign(made, { scene, close: () => server.close() })
})
after(async () => {
  made.close?.()
  await made.shell?.close()
  await made.database?.drop()
})

describe('a start that fails', { concurrency: ATONCE }, () => {
  for (const mistake of MISTAKES)
    test(mistake.what, async () => {
      const { shell, scene } = made
      const { argv, env } = commandLine(mistake, scene)
      const child = await shell.run(argv, env)
      const last = child.output.trimEnd().split('\n').at(-1)!
      assert.equal(general(last, scene), mistake.line)
      assert.equal(child.exitCode, mistake.exit, child.output)
      assert.ok(!child.output.includes('TOKEN-OF-NOBODY'), child.output)
      assert.ok(!child.output.includes(scene.PASSWORD), child.output)
      assert.ok(!/\n {4}at /.test(child.output), 'no traceback')
    })
})

describe('a command that does not exist', () => {
  for (const [argv, line] of [
    [['backend', 'rnu'], "Error: No such command 'rnu'. Did you mean run?"],
    [['backedn', 'run'], "Error: No such command 'backedn'. Did you mean backend?"],
    [['admin', 'user', 'lst'], "Error: No such command 'lst'. Did you mean list?"],
    [['backend', 'toString'], "Error: No such command 'toString'."],
  ] as const)
    test(argv.join(' '), async () => {
      const child = await made.shell.run(argv)
      assert.equal(child.output.trimEnd().split('\n').at(-1), line)
      assert.equal(child.exitCode, 2)
    })
})

test('what is MOCKED says what becomes of it', async () => {
  const { output } = await made.shell.run(['backend', 'run', '--help'])
  const help = output.replaceAll(/\s+/g, ' ')
  assert.match(help, /MOCKED keeps everything in memory, for trials only/)
  assert.match(help, /`MOCKED` \(memory, for trials\)/)
  assert.match(help, /MOCKED writes mails as files into a temporary folder/)
})

test('docs/operations.md has the table', async () => {
  const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  assert.ok(page.includes(table()), `put this into docs/operations.md:\n\n${table()}\n`)
})

/** The line without what differs from run to run. */
function general(line: string, scene: Scene): string {
  const { FOLDER, TAKEN, CLOSED, EMPTY_DATABASE, DATABASE_HOST, USER } = scene
  return line
    .replaceAll(FOLDER, 'FOLDER')
    .replaceAll(EMPTY_DATABASE, 'EMPTY_DATABASE')
    .replaceAll(DATABASE_HOST, 'DATABASE_HOST')
    .replaceAll(TAKEN, 'TAKEN')
    .replaceAll(CLOSED, 'CLOSED')
    .replaceAll(`user "${USER}"`, 'user "USER"')
}
