/** `parsec admin` as people and programs read it: forms of output, mistakes, links, completion. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { clientOf } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'
import { parsec } from './parsec-admin.ts'

const folder = await mkdtemp(join(tmpdir(), 'parsec-admin-'))
const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
  await rm(folder, { recursive: true })
})
const admin = (...words: readonly string[]) => parsec(client.http, ADMINISTRATION_TOKEN, 'admin', ...words)
const ok = async (...words: readonly string[]): Promise<string> => {
  const { code, out, err } = await admin(...words)
  assert.equal(code, 0, `${words.join(' ')}: ${out}${err}`)
  return out
}

test('one list is a table for people, CSV and JSON for programs; names steer neither terminal nor spreadsheet', async () => {
  const { id, alice } = await client.org({ alice: { email: 'alice@example.com', label: '=1+1\u001b A' } })
  await client.connect(alice)
  const [table, csv, json] = await Promise.all([
    ok('user', 'list', id),
    ok('user', 'list', id, '--csv'),
    ok('user', 'list', id, '--json'),
  ])
  const [head, row] = table.split('\n')
  assert.match(head!, /^USER_ID +EMAIL +NAME +PROFILE +STATE +DEVICES +CONNECTIONS +LAST_SEEN_ON/)
  assert.match(row!, /^alice +alice@example\.com +=1\+1\ufffd A +ADMIN +active +1 +1 /)
  const [columns, line] = csv.split('\r\n')
  assert.match(columns!, /^user_id,email,name,profile,state,devices,connections,/)
  assert.ok(line!.startsWith(`alice,alice@example.com,'=1+1\u001b A,ADMIN,active,1,1,`), csv)
  assert.equal(JSON.parse(json).users[0].name, '=1+1\u001b A')
})

test('a link is shown alone, so that it can be passed on; on a terminal with a picture', async () => {
  const id = client.freshId()
  const link = (await ok('org', 'create', id)).trim()
  assert.match(
    link,
    new RegExp(`^parsec://127.0.0.1:\\d+/${id}\\?action=bootstrap_organization&token=[0-9a-f]{64}&no_ssl=true$`),
  )
  assert.equal((await ok('org', 'link', id)).trim(), link)
  const words = `admin org link ${id} --server ${client.http}`
  const script = spawnSync(
    'script',
    ['-qec', `${process.execPath} --conditions=development ${parsecFile} ${words}`, '/dev/null'],
    {
      env: { ...process.env, PARSEC_ADMINISTRATION_TOKEN: ADMINISTRATION_TOKEN },
      encoding: 'utf8',
    },
  )
  assert.match(script.stdout, /[\u2580\u2584\u2588]{5}/)
})
const parsecFile = new URL('../../cli/bin/parsec.js', import.meta.url).pathname

test('mistakes end with one line that says what to do', async () => {
  const { id } = await client.org()
  const nobody = await freePort()
  const cases: readonly (readonly [words: readonly string[], code: number, text: RegExp])[] = [
    [['org', 'show'], 2, /Missing argument 'ORGANIZATION'/],
    [['org', 'show', 'no such'], 2, /'ORGANIZATION': 'no such' is not a valid organization id/],
    [['org', 'set', 'nobody'], 1, /nothing to change: give one of --active-users-limit, /],
    [['org', 'show', 'nobody'], 1, /there is no such organization/],
    [['org', 'create', id], 1, /its first user has bootstrapped it/],
    [['org', 'show', id, 'more'], 2, /unexpected extra argument \(more\)/],
    [['user', 'freeze', id, 'bob@example.com'], 1, /no user of .* has the e-mail address/],
    [['user', 'freeze', id, 'bob'], 1, /there is no such user/],
    [['org', 'list', '--state', 'open'], 2, /'open' is not one of 'bootstrapped'/],
    [
      ['org', 'list', '--server', `http://127.0.0.1:${nobody}`],
      1,
      /--server http:\/\/127\.0\.0\.1:\d+\/: connect ECONNREFUSED/,
    ],
    [['org', 'list', '--server', 'ftp://x'], 2, /is not like https:\/\//],
    [['org', 'list', '--token', 'wrong'], 1, /refuses the token/],
    [['connections', '--cut', 'x'], 1, /no such connection/],
  ]
  const ended = await Promise.all(cases.map(([words]) => admin(...words)))
  for (const [i, [words, code, text]] of cases.entries()) {
    assert.equal(ended[i]!.code, code, words.join(' '))
    assert.match(ended[i]!.out + ended[i]!.err, text, words.join(' '))
  }
})

test('the token comes from a file, which may be that of the server', async () => {
  const file = join(folder, 'token')
  await writeFile(file, `# mine\nconsole read,write ${ADMINISTRATION_TOKEN}\n`)
  await ok('org', 'list', '--token-file', file)
})

test('a shell completes commands, options and their values', () => {
  const script = spawnSync(process.execPath, ['--conditions=development', parsecFile, 'completion', 'bash'], {
    encoding: 'utf8',
  })
  const complete = (...words: string[]): string[] => {
    const typed = words.map(word => `'${word}'`).join(' ')
    const run = `${script.stdout}\nCOMP_WORDS=(parsec ${typed}); COMP_CWORD=${words.length}; _parsec; echo "\${COMPREPLY[@]}"`
    return spawnSync('bash', ['-c', run], { encoding: 'utf8' }).stdout.trim().split(' ')
  }
  assert.deepEqual(complete('adm'), ['admin'])
  assert.deepEqual(complete('admin', 'org', 's'), ['set', 'show'])
  assert.deepEqual(complete('admin', 'org', 'list', '--st'), ['--state'])
  assert.deepEqual(complete('admin', 'org', 'list', '--state', ''), ['bootstrapped', 'waiting', 'expired'])
  assert.deepEqual(complete('backend', 'run', '--log-l'), ['--log-level'])
  assert.deepEqual(complete('completion', ''), ['bash', 'zsh', 'fish', '--debug', '--help', '--version'])
  for (const [shell, wanted] of [
    ['zsh', /'list:List organizations\.'/],
    ['fish', /complete -c parsec -n '__parsec_place '\\'' admin org'\\'''? -a list -d 'List organizations\.'/],
  ] as const) {
    const { stdout } = spawnSync(process.execPath, ['--conditions=development', parsecFile, 'completion', shell], {
      encoding: 'utf8',
    })
    assert.match(stdout, wanted)
  }
})
