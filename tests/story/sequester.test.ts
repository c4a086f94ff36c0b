/** A sequestered organization: a service that keeps copies, one that is asked by HTTP, and an export that its key opens. */
import assert from 'node:assert/strict'
import { constants, createHash, generateKeyPairSync, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { Child } from '../harness/child.ts'
import { type Connection, certificate, clientOf, Device, pack, SigningKey, Time, Uuid } from '../harness/client.ts'
import { Cluster, NODE_ARGV } from '../harness/launch.ts'

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
const folder = await mkdtemp(join(tmpdir(), 'parsec-sequester-'))
after(async () => {
  await client.end()
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Longer than the server waits for webhooks. */
const PATIENCE_MS = 60_000

// Side by side, for the first one mostly waits.
describe('a sequestered organization', { concurrency: true }, () => {
  test('a webhook accepts, rejects, dies, hangs: what it does not accept is not stored, and nobody else waits', async () => {
    const { id, laptop, realm_id } = await sequestered()
    const archive = await addService(id, 'Archive')
    const hook = await Hook.open()
    const scanner = await addService(id, 'Scanner', ['--service-type', 'webhook', '--webhook-url', hook.url])
    const write = (fields = {}) =>
      laptop.cmd('vlob_create', { ...newVlob(realm_id, [archive, scanner]), ...fields }, PATIENCE_MS)
    const [stored, copies] = [() => checkpoint(laptop, realm_id), () => countCopies(id)]

    assert.equal((await write()).status, 'ok')
    assert.deepEqual(hook.requests.at(-1)!.split('?'), ['/scan', `organization_id=${id}&service_id=${scanner.id}`])

    hook.answer = response => response.writeHead(400).end('{"reason": "virus"}')
    const rejected = await write()
    assert.equal(rejected.status, 'rejected_by_sequester_service')
    assert.deepEqual(
      [`${rejected.service_id}`, rejected.service_label, rejected.reason],
      [`${scanner.id}`, 'Scanner', 'virus'],
    )

    // It is the status that rejects: the reason may be of any form, garbled or cut off.
    for (const [answer, reason] of UNUSUAL_REJECTIONS) {
      hook.answer = answer
      const { status, ...rest } = await write()
      assert.deepEqual([status, rest.reason], ['rejected_by_sequester_service', reason])
    }

    hook.answer = response => response.destroy()
    assert.equal((await write()).status, 'timeout')

    // It takes the request and never answers: the writer waits, readers and other organizations do not.
    const taken = hook.nextRequest()
    hook.answer = () => {}
    const hanging = write()
    await taken
    const plain = await client.org()
    const other = await client.connect(plain.alice)
    await client.vlob(other, await client.realm(other, plain.alice))
    const phone = await client.connect(laptop.device)
    assert.equal((await phone.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })).current_checkpoint, 1)
    assert.equal((await hanging).status, 'timeout')
    assert.deepEqual([await stored(), await copies()], [1, 1])

    hook.answer = accept
    assert.equal((await write()).status, 'ok')
    await hook.close()
    assert.equal((await write()).status, 'timeout')
    await update(id, scanner, '--disable')
    assert.equal((await write()).status, 'sequester_inconsistency')
    assert.equal((await laptop.cmd('vlob_create', newVlob(realm_id, [archive]))).status, 'ok')
    assert.deepEqual([await stored(), await copies()], [3, 3])
  })

  test('an export is continued, says what is lost, and becomes files with the key of the service alone', async () => {
    const { id, laptop, realm_id } = await sequestered()
    const archive = await addService(id, 'Archive')
    const put = (vlob_id: Uuid, version: number, fields: object, timestamp = Time.now()) =>
      putManifest({ laptop, realm_id, archive, vlob_id, version, timestamp }, fields)
    const [docs, note, empty] = [new Uuid(), new Uuid(), new Uuid()]
    const text = randomBytes(700_000)
    const parts = [text.subarray(0, 512 * 1024), text.subarray(512 * 1024)]
    const blocks = []
    for (const [i, part] of parts.entries()) blocks.push(await putBlock(laptop, realm_id, part, i * 512 * 1024))
    await put(note, 1, { type: 'file_manifest', parent: docs, size: text.length, blocks })
    await put(empty, 1, { type: 'file_manifest', parent: docs, size: 0, blocks: [] })
    await put(docs, 1, { type: 'folder_manifest', parent: realm_id, children: { 'note.txt': note, leer: empty } })
    await put(realm_id, 1, { type: 'workspace_manifest', children: { Docs: docs } })

    const store = ['--blockstore', 'POSTGRESQL']
    const exporting = [
      'export_realm',
      '--realm',
      `${realm_id}`,
      '--service',
      `${archive.id}`,
      '--output',
      folder,
      ...store,
    ]
    const input = join(folder, `parsec-sequester-export-realm-${realm_id}.sqlite`)
    const extract = async (output: string, key = archive.privateKey, more: string[] = []) => {
      const options = [
        '--service-decryption-key',
        await keyFile(key),
        '--input',
        input,
        '--output',
        join(folder, output),
      ]
      return command(['extract_realm_export', ...options, ...more])
    }
    // A block that the store has lost is named; everything else is in the file, and what it left out comes later.
    const [lost] = await cluster.database!.query<{ data: Buffer; block_id: string }>(
      'DELETE FROM block_data WHERE block_id = $1 RETURNING data, block_id',
      [`${blocks[1]!.id}`],
    )
    const partial = await command(exporting, id)
    assert.equal(partial.code, 1)
    assert.match(partial.output, new RegExp(`Block ${blocks[1]!.id} ✘`))
    assert.equal((await extract('damaged')).code, 1)
    assert.deepEqual(await readdir(join(folder, 'damaged', 'Docs')), ['leer', 'note.txt'])
    await cluster.database!.query('INSERT INTO block_data VALUES ($1, $2, $3)', [id, lost!.block_id, lost!.data])
    await put(empty, 2, {
      type: 'file_manifest',
      parent: docs,
      size: 3,
      blocks: [await putBlock(laptop, realm_id, Buffer.from('new'), 0)],
    })
    assert.equal((await command(exporting, id)).code, 0)

    const extracted = await extract('files')
    assert.equal(extracted.code, 0, extracted.output)
    assert.ok(text.equals(await readFile(join(folder, 'files', 'Docs', 'note.txt'))))
    assert.equal(await readFile(join(folder, 'files', 'Docs', 'leer'), 'utf8'), 'new')
    const before = await extract('before', archive.privateKey, ['--filter-date', '2001-01-01'])
    assert.equal(before.code, 1)
    assert.match(before.output, /no version of it is in the export/)
    const stranger = await extract('nothing', rsa().privateKey)
    assert.equal(stranger.code, 1)
    await assert.rejects(readdir(join(folder, 'nothing')))

    // Nobody else of the machine may read them.
    for (const [path, mode] of [
      ['files', 0o700],
      ['files/Docs', 0o700],
      ['files/Docs/note.txt', 0o600],
      [input, 0o600],
    ] as const)
      assert.equal((await stat(resolve(folder, path))).mode & 0o777, mode, path)

    // What would lead out of the folder is not written.
    await put(realm_id, 2, {
      type: 'workspace_manifest',
      children: { Docs: docs, '../escaped': note, again: realm_id },
    })
    assert.equal((await command(exporting, id)).code, 0)
    const careful = await extract('careful')
    assert.equal(careful.code, 1)
    assert.match(careful.output, /2 file\(s\) or folder\(s\) could not be rebuilt/)
    assert.ok(!(await readdir(folder)).includes('escaped'))

    // A folder in two places is written to one, and no name steers the terminal.
    const name = 'x ✔\n\u001b[2J\u009b2J'
    const other = new Uuid()
    await put(other, 1, { type: 'file_manifest', parent: realm_id, size: 0, blocks: [] })
    await put(realm_id, 3, { type: 'workspace_manifest', children: { Docs: docs, Twice: docs, [name]: other } })
    assert.equal((await command(exporting, id)).code, 0)
    const once = await extract('once')
    assert.equal(once.code, 1)
    assert.match(once.output, /Twice ✘: it is at .*Docs already\n/)
    assert.match(once.output, /once\/x ✔\ufffd\ufffd\[2J\ufffd2J ✔\n/)
    assert.deepEqual((await readdir(join(folder, 'once'))).toSorted(), ['Docs', name])
  })
})

test('a service that is added while a webhook is asked counts for that write too', async () => {
  const { id, laptop, realm_id } = await sequestered()
  const hook = await Hook.open()
  const scanner = await addService(id, 'Scanner', ['--service-type', 'webhook', '--webhook-url', hook.url])
  const held = hook.nextRequest()
  hook.answer = () => {}
  const writing = laptop.cmd('vlob_create', newVlob(realm_id, [scanner]), PATIENCE_MS)
  const response = await held
  const archive = await addService(id, 'Archive')
  accept(response)
  const reply = await writing
  assert.equal(reply.status, 'sequester_inconsistency')
  assert.equal(reply.sequester_services_certificates.length, 2)
  hook.answer = accept
  assert.equal((await laptop.cmd('vlob_create', newVlob(realm_id, [scanner, archive]))).status, 'ok')
  assert.equal(await checkpoint(laptop, realm_id), 1)
  await hook.close()
})

// Organizations and services

type Service = { id: Uuid; publicKey: KeyObject; privateKey: KeyObject }

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 })
const authority = rsa()

async function sequestered() {
  const id = client.freshId()
  const root = new SigningKey()
  const alice = new Device(id, root.verify, 'alice', 'dev1', { profile: 'ADMIN' })
  const timestamp = Time.now()
  const reply = await client.anonymous(id, 'organization_bootstrap', {
    bootstrap_token: await client.createOrganization(id),
    root_verify_key: root.verify,
    ...alice.certificates(null, root, timestamp),
    sequester_authority_certificate: certificate(root, {
      type: 'sequester_authority_certificate',
      author: null,
      timestamp,
      verify_key_der: authority.publicKey.export({ type: 'spki', format: 'der' }),
    }),
  })
  assert.equal(reply.status, 'ok')
  const laptop = Object.assign(await client.connect(alice), { device: alice })
  return { id, laptop, realm_id: await client.realm(laptop, alice) }
}

/** A new service; its id is in the answer of `list_services`. */
async function addService(organization: string, label: string, options: string[] = []): Promise<Service> {
  const keys = rsa()
  const files = [
    '--service-public-key',
    await keyFile(keys.publicKey),
    '--authority-private-key',
    await keyFile(authority.privateKey),
  ]
  const created = await command(['create_service', '--service-label', label, ...files, ...options], organization)
  assert.equal(created.code, 0, created.output)
  const listed = await command(['list_services'], organization)
  const id = new RegExp(`Service ${label} \\(id: (\\w+)\\)`).exec(listed.output)?.[1]
  assert.ok(id, listed.output)
  return { id: new Uuid(id), ...keys }
}

async function update(organization: string, { id }: Service, how: '--enable' | '--disable'): Promise<void> {
  const updated = await command(['update_service', '--service', `${id}`, how], organization)
  assert.equal(updated.code, 0, updated.output)
}

async function keyFile(key: KeyObject): Promise<string> {
  const path = join(folder, `${randomBytes(8).toString('hex')}.pem`)
  await writeFile(path, key.export({ type: key.type === 'public' ? 'spki' : 'pkcs8', format: 'pem' }))
  return path
}

/** `parsec backend sequester …`; with an organization it works on the database. */
async function command(
  argv: readonly string[],
  organization?: string,
): Promise<{ code: number | null; output: string }> {
  const where = organization ? ['--organization', organization, '--db', cluster.database!.url] : []
  const child = new Child(argv[0]!, process.execPath, [...NODE_ARGV, 'backend', 'sequester', ...argv, ...where], {
    PATH: process.env.PATH,
  })
  await child.exited
  return { code: child.exitCode, output: child.output }
}

class Hook {
  readonly requests: string[] = []
  answer: (response: ServerResponse) => void = accept
  readonly #server = createServer((request, response) => {
    request.resume().once('end', () => {
      this.requests.push(request.url!)
      this.answer(response)
      this.#waiting?.(response)
    })
  })
  #waiting: ((response: ServerResponse) => void) | undefined

  static async open(): Promise<Hook> {
    const hook = new Hook()
    await new Promise<void>(resolve => hook.#server.listen(0, '127.0.0.1', resolve))
    return hook
  }
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/scan`
  }
  nextRequest(): Promise<ServerResponse> {
    return new Promise(resolve => {
      this.#waiting = resolve
    })
  }
  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}
function accept(response: ServerResponse): void {
  response.writeHead(200).end()
}
/** Answers of a webhook with 400, and what clients are told of each. */
const UNUSUAL_REJECTIONS: readonly (readonly [answer: (response: ServerResponse) => void, reason: string])[] = [
  [response => response.writeHead(400).end('\ufeff{"reason": "virus"}'), 'virus'],
  [response => response.writeHead(400, { 'content-encoding': 'gzip' }).end('no gzip'), 'File rejected (no reason)'],
  [
    response => response.writeHead(400, { 'content-length': 1000 }).write('{"rea', () => response.destroy()),
    'File rejected (no reason)',
  ],
]

// Data

const newVlob = (realm_id: Uuid, services: readonly Service[]) => ({
  realm_id,
  encryption_revision: 1,
  vlob_id: new Uuid(),
  timestamp: Time.now(),
  blob: randomBytes(40),
  sequester_blob: new Map(services.map(service => [service.id, randomBytes(40)])),
})

const checkpoint = async (connection: Connection, realm_id: Uuid): Promise<number> =>
  (await connection.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })).current_checkpoint

async function countCopies(organization_id: string): Promise<number> {
  const [row] = await cluster.database!.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM sequester_blob JOIN sequester_service service ON service._id = service
     JOIN organization ON organization._id = service.organization WHERE organization_id = $1`,
    [organization_id],
  )
  return row!.count
}

const sodium = createRequire(new URL('../../libs/shared/package.json', import.meta.url))('sodium-native') as {
  crypto_secretbox_easy(box: Buffer, message: Buffer, nonce: Buffer, key: Buffer): void
}
function secretBox(key: Buffer, message: Buffer): Buffer {
  const nonce = randomBytes(24)
  const box = Buffer.alloc(message.length + 16)
  sodium.crypto_secretbox_easy(box, message, nonce, key)
  return Buffer.concat([nonce, box])
}

/** A block as a file's manifest describes it. */
async function putBlock(connection: Connection, realm_id: Uuid, data: Buffer, offset: number) {
  const [id, key] = [new Uuid(), randomBytes(32)]
  await connection.ok('block_create', { realm_id, block_id: id, block: secretBox(key, data) })
  return { id, key, offset, size: data.length, digest: createHash('sha256').update(data).digest() }
}

type Target = {
  laptop: Connection & { device: Device }
  realm_id: Uuid
  archive: Service
  vlob_id: Uuid
  version: number
  timestamp: Time
}
/** Writes a manifest as clients do: signed, and encrypted for the service. */
async function putManifest({ laptop, realm_id, archive, vlob_id, version, timestamp }: Target, fields: object) {
  const { device } = laptop
  const manifest = {
    ...fields,
    author: device.device_id,
    timestamp,
    id: vlob_id,
    version,
    created: timestamp,
    updated: timestamp,
  }
  const key = randomBytes(32)
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  const wrapped = publicEncrypt({ key: archive.publicKey, padding, oaepHash: 'sha1' }, key)
  const signed = device.key.sign(deflateSync(pack(manifest)))
  const encrypted = Buffer.concat([Buffer.from('RSAES-OAEP-XSALSA20-POLY1305:'), wrapped, secretBox(key, signed)])
  const common = {
    encryption_revision: 1,
    vlob_id,
    timestamp,
    blob: randomBytes(40),
    sequester_blob: new Map([[archive.id, encrypted]]),
  }
  if (version === 1) await laptop.ok('vlob_create', { realm_id, ...common })
  else await laptop.ok('vlob_update', { version, ...common })
}
