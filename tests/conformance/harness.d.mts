/** Types of what the project's own tests use of `harness.mjs`, `wire.mjs` and `identity.mjs`. */

export class Uuid {
  constructor(bytes?: Uint8Array | string)
  readonly bytes: Buffer
  toString(): string
  equals(other: unknown): boolean
}
export class Time {
  constructor(us: number)
  readonly us: number
  static now(): Time
  plus(seconds: number): Time
}
export class Ext {
  constructor(type: number, bytes: Uint8Array)
}
export class Float {
  constructor(value: number)
}
export class SigningKey {
  readonly verify: Buffer
  signature(data: Uint8Array): Buffer
  sign(data: Uint8Array): Buffer
}
export type Profile = 'ADMIN' | 'STANDARD' | 'OUTSIDER'
export type RealmRole = 'OWNER' | 'MANAGER' | 'CONTRIBUTOR' | 'READER'
type DeviceOptions = { profile?: Profile; email?: string; label?: string | null; device_label?: string | null }
export class Device {
  constructor(org: string, rvk: Buffer, user_id: string, name?: string, options?: DeviceOptions)
  readonly org: string
  readonly rvk: Buffer
  readonly user_id: string
  readonly device_id: string
  readonly profile: Profile
  readonly key: SigningKey
  certificates(author: string | null, key: SigningKey, timestamp?: Time): { [field: string]: Buffer }
  deviceCertificates(author: string | null, key: SigningKey, timestamp?: Time): { [field: string]: Buffer }
}
export function certificate(key: SigningKey, fields: { [field: string]: unknown }): Buffer
export function roleCertificate(author: Device, realm_id: Uuid, user_id: string, role: RealmRole | null, timestamp?: Time): Buffer
export function revokedCertificate(author: Device, user_id: string, timestamp?: Time): Buffer

// biome-ignore lint/suspicious/noExplicitAny: a reply is whatever the server sent
export type Reply = { status: string; [field: string]: any }
type Fields = { readonly [field: string]: unknown }
type SocketOptions = { userAgent?: string; path?: string; headers?: { [name: string]: string } }
type OpenOptions = SocketOptions & {
  device?: Device
  invited?: { organization_id: string; invitation_type: string; token: Uuid }
  anonymous?: { organization_id: string; rvk?: Buffer }
  administration?: { token: string }
  api?: readonly [number, number]
}
export class Connection {
  static socket(url: string, options?: SocketOptions): Promise<Connection>
  static open(url: string, options: OpenOptions): Promise<Connection>
  readonly ws: import('ws').WebSocket
  readonly closed: boolean
  readonly code: number | undefined
  readonly challenge: Fields
  answer(message: Fields | Uint8Array): Promise<{ result: string; help?: string }>
  next(ms?: number): Promise<Buffer | string>
  send(bytes: Uint8Array | string): void
  raw(bytes: Uint8Array, ms?: number): Promise<Buffer | string>
  cmd(cmd: string, fields?: Fields, ms?: number): Promise<Reply>
  /** Throws unless the status is `ok`. */
  ok(cmd: string, fields?: Fields, ms?: number): Promise<Reply>
  event(ms?: number): Promise<Reply>
  untilClosed(ms?: number): Promise<number | undefined>
  close(): Promise<void>
}

export class Context {
  constructor(server: { url: string; token: string; target: string; features: ReadonlySet<string> })
  readonly url: string
  readonly http: string
  fetch(path: string, options?: object): Promise<{ status: number; headers: Headers; body: Buffer; json?: unknown }>
  admin(method: string, path: string, body?: unknown): Promise<{ status: number; body: Buffer; json?: unknown }>
  anonymous(org: string, cmd: string, fields: Fields): Promise<Reply>
  open(options: OpenOptions): Promise<Connection>
  connect(device: Device, options?: Omit<OpenOptions, 'device'>): Promise<Connection>
  freshId(prefix?: string): string
  /** Its bootstrap token. */
  createOrganization(organization_id: string, fields?: Fields): Promise<string>
  org(options?: { alice?: DeviceOptions }): Promise<{ id: string; root: SigningKey; alice: Device }>
  user(connection: Connection, author: Device, user_id: string, options?: DeviceOptions & { name?: string }): Promise<Device>
  device(connection: Connection, author: Device, name?: string): Promise<Device>
  realm(connection: Connection, author: Device, realm_id?: Uuid): Promise<Uuid>
  share(connection: Connection, author: Device, realm_id: Uuid, user_id: string, role: RealmRole | null): Promise<Reply>
  revoke(connection: Connection, author: Device, user_id: string, timestamp?: Time): Promise<Reply>
  vlob(connection: Connection, realm_id: Uuid, fields?: Fields): Promise<{ vlob_id: Uuid; timestamp: Time; blob: Buffer }>
  end(): Promise<void>
}

export function pack(value: unknown): Buffer
export function unpack(bytes: Uint8Array | string): Reply
export function show(value: unknown): string
/** Listens until an event matches; returns it. */
export function eventually(connection: Connection, predicate: (event: Reply) => boolean, ms?: number): Promise<Reply>
export function noEvent(connection: Connection): Promise<void>
/** The handshake must be refused; returns the result map. */
export function refused(promise: Promise<unknown>, result?: string): Promise<{ result: string; help?: string }>
export function throws(promise: Promise<unknown>, pattern?: RegExp): Promise<Error>
