/**
 * docs/one-vm.md, each of its shell blocks as it stands, in an empty Debian 12: a folder made by debootstrap, with a network
 * of its own. Then a client through TLS, and everything lost and brought back.
 *
 *   node --conditions=development --test tests/hosting/one-vm.manual.ts          (as root; about ten minutes)
 *
 * No system manager runs in such a folder. In its place `systemctl` is a script that does with a unit what systemd would:
 * its directories, its ExecStartPre and ExecStart with the EnvironmentFile, as a user without rights. What makes Debian's
 * own services run is likewise theirs. Blocks that install packages have the network of this machine.
 */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { blocksOf, pages, ROOT } from '../pages.ts'

const MIRROR = process.env['DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian'
const STAND_INS = fileURLToPath(new URL('one-vm', import.meta.url))
const CLIENT = fileURLToPath(new URL('one-vm-client.ts', import.meta.url))
const MAX_OUTPUT = 64 * 1024 * 1024
/** What the server keeps up to date by itself: who runs, who was seen, figures over time. */
const OF_ITS_OWN = ['deployment', 'device_seen', 'figures_sample', 'outbox*', 'process']

/** What programs expect there; nothing of this machine. */
const MOUNTS = [
  ['proc', 'proc'],
  ['devpts', 'dev/pts'],
  ['tmpfs', 'dev/shm'],
] as const

const run = promisify(execFile)
const shell = (program: string, ...argv: string[]) => run(program, argv, { maxBuffer: MAX_OUTPUT, cwd: ROOT })
const blocks = blocksOf(pages().find(({ file }) => file === 'docs/one-vm.md')!).filter(one => one.language === 'sh')

const vm = await mkdtemp(join(tmpdir(), 'parsec-vm-'))
const inside = (path: string) => join(vm, path)
const network = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo up; exec sleep infinity'])
const NETWORK = `/proc/${network.pid}/ns/net`

/** The text of an error is what the block said. */
async function execute(code: string): Promise<string> {
  const usesNetwork = /apt-get|npm install/.test(code)
  const enter = usesNetwork ? [] : ['nsenter', `--net=${NETWORK}`]
  const environment = ['HOME=/root', 'LANG=C.UTF-8', 'NODE_EXTRA_CA_CERTS=/etc/ssl/all.pem']
  environment.push('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
  const argv = [...enter, 'env', '-i', ...environment, 'chroot', vm, 'bash', '-eo', 'pipefail', '-c', code]
  const { stdout, stderr } = await shell(argv[0]!, ...argv.slice(1)).catch(error => {
    throw new Error(`${code}\n${error.stdout}\n${error.stderr}`)
  })
  return stdout + stderr
}
/** The step of a heading: all that stands below it up to the next one. */
const step = async (n: number): Promise<string> => {
  console.error(`step ${n}`)
  return execute(blocks[n - 1]!.code)
}

before(async () => {
  await new Promise(resolve => network.stdout.once('data', resolve))
  await shell('debootstrap', '--variant=minbase', 'bookworm', vm, MIRROR)
  // Others than root live in it, too.
  await chmod(vm, 0o755)
  for (const [type, place] of MOUNTS) {
    await mkdir(inside(place), { recursive: true })
    await shell('mount', '-t', type, type, inside(place))
  }
  await copyFile('/etc/resolv.conf', inside('etc/resolv.conf'))
  await writeFile(inside('etc/hosts'), '127.0.0.1 localhost parsec.example.com\n')
  // No daemon of a package starts by itself; the page starts them.
  await writeFile(inside('usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  await writeFile(
    inside('usr/local/bin/systemctl'),
    (await readFile(join(STAND_INS, 'systemctl.sh'), 'utf8')).replaceAll('NETWORK', NETWORK),
  )
  await chmod(inside('usr/local/bin/systemctl'), 0o755)
  await archiveOfNode()
  await shell(process.execPath, 'tools/pack.mjs', inside('root'))
  // Packages come from where npm gets them here.
  const [{ stdout: registry }, own] = [
    await shell('npm', 'config', 'get', 'registry'),
    process.env['NODE_EXTRA_CA_CERTS'],
  ]
  await writeFile(inside('root/.npmrc'), `registry=${registry}`)
  await certificate(own ? await readFile(own, 'utf8') : '')
})
after(async () => {
  await execute('systemctl stop parsec nginx postgresql').catch(() => {})
  network.kill('SIGKILL')
  for (const [, place] of MOUNTS) await shell('umount', '--lazy', inside(place)).catch(() => {})
  // Should a mount have stayed, it is not ours to empty.
  await shell('rm', '--recursive', '--force', '--one-file-system', vm)
})

/** As nodejs.org has it: a folder with bin, and npm under lib. */
async function archiveOfNode(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-node-'))
  const name = `node-${process.version}-linux-x64`
  const { packageManager } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  await mkdir(join(folder, name, 'bin'), { recursive: true })
  await copyFile(process.execPath, join(folder, name, 'bin/node'))
  await shell('npm', 'install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', packageManager)
  await mkdir(join(folder, name, 'lib/node_modules'), { recursive: true })
  await cp(join(folder, 'node_modules/npm'), join(folder, name, 'lib/node_modules/npm'), { recursive: true })
  await shell('ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', join(folder, name, 'bin/npm'))
  await shell('tar', '-C', folder, '-I', 'xz -0', '-cf', inside(`root/${name}.tar.xz`), name)
  await rm(folder, { recursive: true })
}

/** An authority of our own in the place of a public one. */
async function certificate(others: string): Promise<void> {
  const folder = inside('etc/ssl/parsec')
  await mkdir(folder, { recursive: true })
  const [ca, key, chain] = [inside('etc/ssl/ca.pem'), join(folder, 'privkey.pem'), join(folder, 'fullchain.pem')]
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '60']
  await shell(
    'openssl',
    'req',
    '-x509',
    ...ec,
    '-subj',
    '/CN=Test authority',
    '-keyout',
    inside('etc/ssl/ca.key'),
    '-out',
    ca,
  )
  const leaf = ['-subj', '/CN=parsec.example.com', '-addext', 'subjectAltName=DNS:parsec.example.com,IP:127.0.0.1']
  const by = ['-CA', ca, '-CAkey', inside('etc/ssl/ca.key'), '-addext', 'basicConstraints=CA:FALSE']
  await shell('openssl', 'req', '-x509', ...ec, ...leaf, ...by, '-keyout', key, '-out', chain)
  await writeFile(inside('etc/ssl/all.pem'), (await readFile(ca, 'utf8')) + others)
}

class Client {
  readonly #child
  readonly #lines
  constructor(token: string) {
    const argv = [`--net=${NETWORK}`, process.execPath, '--conditions=development', CLIENT]
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: inside('etc/ssl/all.pem') }
    this.#child = spawn('nsenter', [...argv, 'wss://127.0.0.1', 'ws://127.0.0.1:6777', token], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }
  async says(line: string): Promise<void> {
    assert.equal((await this.#lines.next()).value, line)
  }
  async does(what: string): Promise<void> {
    this.#child.stdin.write(`${what}\n`)
    await this.says('ok')
  }
  end(): void {
    this.#child.stdin.end()
  }
}

/** The rows of all tables, but for those that the server writes by itself. */
async function rows(): Promise<string> {
  const but = OF_ITS_OWN.map(name => `--exclude-table-data='${name}'`).join(' ')
  const dump = await execute(`pg_dump --inserts ${but} postgresql://parsec@127.0.0.1/parsec | grep '^INSERT' | sort`)
  return dump
}
const files = () => execute('cd /var/lib/parsec/blocks && find . -type f | sort | xargs sha256sum')
function differences(before: string, after: string): string[] {
  const [a, b] = [new Set(before.split('\n')), new Set(after.split('\n'))]
  return [...a, ...b].filter(line => !(a.has(line) && b.has(line))).map(line => line.slice(0, 200))
}

test('from nothing to a client behind TLS, and back after everything is lost', { timeout: 1_800_000 }, async t => {
  assert.equal(blocks.length, 9)
  for (const n of [1, 2, 3, 4, 5]) await step(n)
  const created = await step(6)
  assert.match(created, /parsec:\/\/parsec\.example\.com\/Acme\?action=bootstrap_organization&token=/)
  assert.doesNotMatch(created, /^FAILED/m)

  const [, token = ''] = /^PARSEC_ADMINISTRATION_TOKEN=(.*)$/m.exec(
    await readFile(inside('etc/parsec/parsec.env'), 'utf8'),
  )!
  const client = new Client(token)
  t.after(() => client.end())
  await client.says('ready')
  await client.does('write')
  await client.does('read')
  const outside = (path: string) =>
    `curl --silent --cacert /etc/ssl/ca.pem --output /dev/null --write-out '%{http_code}' ${path}`
  assert.equal(await execute(outside('https://parsec.example.com/administration/')), '404')
  assert.equal(await execute(outside('http://parsec.example.com/')), '301')

  // Quiet, so that what was is what shall be.
  await execute('systemctl stop parsec')
  await step(7)
  const [rowsBefore, filesBefore] = [await rows(), await files()]
  const scrubbed = await step(8)
  assert.match(scrubbed, /Blocks: 1 compared|left alone/)
  await client.does('read')
  await execute('systemctl stop parsec')
  assert.equal(await files(), filesBefore)
  assert.deepEqual(differences(rowsBefore, await rows()), [])
  await execute('systemctl start parsec')

  // Line by line: what installs has another network than what asks the server.
  for (const line of blocks[8]!.code.trim().split('\n')) await execute(line)
  await client.does('read')
})

test('Prometheus takes the rules and the configuration', { timeout: 600_000 }, async () => {
  await execute('apt-get install --yes --no-install-recommends prometheus')
  const monitoring = '/usr/local/lib/node_modules/parsec-server/deploy/monitoring'
  await execute(`cd ${monitoring} && promtool check config prometheus.yml && promtool check rules alerts.yaml`)
  await execute(
    `cd ${dirname(monitoring)} && cp monitoring/alerts.yaml compose/ && promtool check config compose/prometheus.yml`,
  )
})
