/** Everything that the devices of some organizations see of a server, over the wire, in a form that can be compared. */
import { createHash, createPrivateKey, sign } from 'node:crypto'
import { Connection, Device, Time, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN } from '../harness/launch.ts'

export type DeviceKeys = { device_id: string; user_id: string; signing_key: string; root_verify_key: string }
export type Facts = {
  users: string[]
  realms: string[]
  vlobs: { id: string; versions: number; revision: number }[]
  blocks: string[]
  devices: DeviceKeys[]
}
export type Keys = {
  release: string
  api: [number, number]
  user_agent: string
  commands: string[]
  administration: string[]
  organizations: { [organization_id: string]: Facts }
}
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Answers = { [organization_id: string]: Json }

/** A private key as PKCS #8 begins with this. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
/** Organizations at once. */
const JOBS = 4
/** Lists without an order. */
const UNORDERED = new Set([
  'devices',
  'results',
  'certificates',
  'enrollments',
  'invitations',
  'others',
  'sequester_services_certificates',
  'users',
  'device_certificates',
  'trustchain',
])

/** A device of the set, for `Connection.open`. */
export function deviceOf(
  organization_id: string,
  { device_id, user_id, signing_key, root_verify_key }: DeviceKeys,
): Device {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, Buffer.from(signing_key, 'base64')]),
    format: 'der',
    type: 'pkcs8',
  })
  const signature = (data: Uint8Array): Buffer => sign(null, data, key)
  return Object.assign(Object.create(Device.prototype) as Device, {
    org: organization_id,
    device_id,
    user_id,
    rvk: Buffer.from(root_verify_key, 'base64'),
    key: { signature, sign: (data: Uint8Array) => Buffer.concat([signature(data), data]) },
  })
}

/** What these organizations show. */
export async function snapshot(url: string, keys: Keys, organizations: readonly string[]): Promise<Answers> {
  const answers: Answers = {}
  const queue = organizations.values()
  await Promise.all(
    Array.from({ length: JOBS }, async () => {
      for (const organization_id of queue) {
        const facts = keys.organizations[organization_id]!
        const devices: { [device_id: string]: Json } = {}
        const administration = await administrationSees(url, keys, organization_id)
        for (const owner of facts.devices)
          devices[owner.device_id] = await deviceSees(url, keys, organization_id, facts, owner)
        answers[organization_id] = { administration, devices }
      }
    }),
  )
  return answers
}

async function deviceSees(url: string, keys: Keys, organization_id: string, facts: Facts, owner: DeviceKeys) {
  const seen: { [label: string]: Json } = {}
  const { api, user_agent: userAgent } = keys
  let connection: Connection
  try {
    connection = await Connection.open(url, { device: deviceOf(organization_id, owner), api, userAgent })
  } catch (error) {
    const { result, message } = error as { result?: { result: string }; message: string }
    return { handshake: result ? result.result : message }
  }
  const ask = async (command: string, fields: { [field: string]: unknown } = {}, label = command) => {
    try {
      seen[label] = plain(await connection.cmd(command, fields))
    } catch (error) {
      seen[label] = `no reply: ${(error as Error).message}`
    }
  }
  for (const command of keys.commands) await ask(command)
  await ask('message_get', { offset: 0 })
  await ask('human_find', { query: null, omit_revoked: false, omit_non_human: false, page: 1, per_page: 100 })
  for (const user_id of facts.users) await ask('user_get', { user_id }, `user_get ${user_id}`)
  for (const id of facts.realms) {
    const realm_id = new Uuid(id)
    for (const command of ['realm_status', 'realm_stats', 'realm_get_role_certificates'])
      await ask(command, { realm_id }, `${command} ${id}`)
    await ask('vlob_poll_changes', { realm_id, last_checkpoint: 0 }, `vlob_poll_changes ${id}`)
  }
  for (const { id, versions, revision } of facts.vlobs) {
    const vlob_id = new Uuid(id)
    await ask('vlob_list_versions', { vlob_id }, `vlob_list_versions ${id}`)
    for (let version = 1; version <= versions; version++)
      await ask(
        'vlob_read',
        { encryption_revision: revision, vlob_id, version, timestamp: null },
        `vlob_read ${id} ${version}`,
      )
  }
  for (const id of facts.blocks) await ask('block_read', { block_id: new Uuid(id) }, `block_read ${id}`)
  await connection.close()
  return seen
}

async function administrationSees(url: string, keys: Keys, organization_id: string) {
  const seen: { [label: string]: Json } = {}
  for (const path of keys.administration) {
    const address = `${url.replace(/^ws/, 'http')}/administration/organizations/${organization_id}${path}`
    const response = await fetch(address, { headers: { authorization: `Bearer ${ADMINISTRATION_TOKEN}` } })
    const text = await response.text()
    seen[`GET ${path || '/'}`] = { status: response.status, json: plain(parsed(text), 'body') }
  }
  return seen
}
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Plain JSON of a reply. Texts for people are left out, lists without an order sorted, bytes are their digest. */
function plain(value: unknown, key?: string): Json {
  if (value instanceof Uint8Array)
    return `bytes ${value.length} ${createHash('sha256').update(value).digest('hex').slice(0, 16)}`
  if (value instanceof Uuid) return `uuid ${value}`
  if (value instanceof Time) return `time ${value.us}`
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) {
    const list = value.map(item => plain(item))
    return key !== undefined && UNORDERED.has(key)
      ? list.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
      : list
  }
  if (value && typeof value === 'object')
    return Object.fromEntries(
      Object.entries(value)
        .filter(([name]) => name !== 'reason')
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, item]) => [name, plain(item, name)]),
    )
  return value as Json
}

export type Difference = { path: string; expected: Json | undefined; got: Json | undefined }

/** Down to the fields of an answer. */
export function compare(expected: Json | undefined, got: Json | undefined, path: readonly string[] = []): Difference[] {
  if (path.length < 5 && isMap(expected) && isMap(got))
    return [...new Set([...Object.keys(expected), ...Object.keys(got)])].flatMap(key =>
      compare(expected[key], got[key], [...path, key]),
    )
  return JSON.stringify(expected) === JSON.stringify(got) ? [] : [{ path: path.join(' › '), expected, got }]
}
const isMap = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
