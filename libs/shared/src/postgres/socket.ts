/**
 * The wire to one host of PostgreSQL: connected, encrypted as `sslmode` asks, with a deadline. The driver is given the
 * finished socket, so the ways of libpq (spec 06 §8.2) are ours, and so is the socket.
 */
import { readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, type NetConnectOpts, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls, type SecureVersion } from 'node:tls'
import type { Host, SslMode, Target } from './target.ts'

/** The server cannot, or may not, do what `sslmode` asks: nothing that trying again mends. */
export class TlsRefused extends Error {
  override readonly name = 'TlsRefused'
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const YES = 0x53
const NO = 0x4e

/** `encrypted`: as `attempts` has it. Never takes longer than `deadlineMs`. A socket as any other: its reader may pause it. */
export const openSocket = (target: Target, host: Host, encrypted: boolean, deadlineMs: number): Promise<Socket> =>
  open(connectTcp(address(target, host)), target, host, encrypted, deadlineMs)

/** The same for one that will have a `Reader`: it is read without a pause, so nobody may pipe it. */
export function openInlet(target: Target, host: Host, encrypted: boolean, deadlineMs: number): Promise<Socket> {
  const inlet = new Inlet()
  const tcp = connectTcp({ ...address(target, host), onread: inlet })
  inlet.of(tcp)
  return open(tcp, target, host, encrypted, deadlineMs)
}

const address = ({ keepAliveSeconds }: Target, { host, port }: Host): NetConnectOpts =>
  host.startsWith('/')
    ? { path: `${host}/.s.PGSQL.${port}` }
    : {
        host,
        port,
        noDelay: true,
        ...(keepAliveSeconds !== null && { keepAlive: true, keepAliveInitialDelay: keepAliveSeconds * 1000 }),
      }

async function open(tcp: Socket, target: Target, host: Host, encrypted: boolean, deadlineMs: number): Promise<Socket> {
  tcp.on('error', ignore)
  const timer = setTimeout(
    () => tcp.destroy(new Error(`no connection to ${host.host}:${host.port} within ${deadlineMs} ms`)),
    deadlineMs,
  )
  try {
    await event(tcp, 'connect')
    if (!encrypted) return tcp
    return await encrypt(tcp, target, host)
  } catch (error) {
    tcp.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Whether to encrypt, in the order of the attempts. */
export function attempts(mode: SslMode, { host }: Host): readonly boolean[] {
  if (host.startsWith('/') || mode === 'disable') return [false]
  if (mode === 'allow') return [false, true]
  return mode === 'prefer' ? [true, false] : [true]
}

/** Who reads a stream: says where the next bytes are to go, at least one, and is told how many came there. */
export type Reader = { room(): Uint8Array; came(bytes: number): void }

/** From now on `reader` gets what comes. Into a socket of `openInlet` the system writes where the reader says. */
export function readInto(stream: Duplex, reader: Reader): void {
  stream.removeAllListeners('data')
  const inlet = inlets.get(stream)
  if (inlet) inlet.reader = reader
  else stream.on('data', (chunk: Buffer) => pour(chunk, reader))
}
function pour(bytes: Buffer, reader: Reader): void {
  for (let at = 0; at < bytes.length; ) {
    const copied = bytes.copy(reader.room(), 0, at)
    at += copied
    reader.came(copied)
  }
}

const inlets = new WeakMap<Duplex, Inlet>()
/** What is read at once until there is a reader: a login is short. */
const LOGIN_BYTES = 4096

/** How a socket is read, as `net` wants it told when the socket is made: as any other until it has a reader. */
class Inlet {
  reader: Reader | undefined
  /** Where the next bytes go, and whose that is. */
  #room: Uint8Array = Buffer.alloc(0)
  #owner: Reader | undefined
  #socket: Duplex | undefined

  of(socket: Duplex): void {
    this.#socket = socket
    inlets.set(socket, this)
  }
  readonly buffer = (): Uint8Array => {
    this.#owner = this.reader
    this.#room = this.reader?.room() ?? Buffer.allocUnsafeSlow(LOGIN_BYTES)
    return this.#room
  }
  readonly callback = (bytes: number): boolean => {
    if (this.reader && this.reader === this.#owner) this.reader.came(bytes)
    else {
      const chunk = Buffer.from(this.#room.buffer, this.#room.byteOffset, bytes)
      if (this.reader) pour(chunk, this.reader)
      else this.#socket?.emit('data', chunk)
    }
    return true
  }
}

async function encrypt(tcp: Socket, target: Target, { host }: Host): Promise<Socket> {
  tcp.write(SSL_REQUEST)
  const answer = await event<Buffer>(tcp, 'data')
  // More than the one byte would be data that somebody slipped in before the encryption.
  if (answer.length !== 1 || (answer[0] !== YES && answer[0] !== NO))
    throw new Error('there was no proper answer to the request for TLS')
  if (answer[0] === NO && target.sslMode === 'prefer') return tcp
  if (answer[0] === NO) throw new TlsRefused(`the server does not support TLS, sslmode=${target.sslMode} needs it`)
  const socket = connectTls({ socket: tcp, ...tlsOptions(target, host) })
  socket.on('error', ignore)
  await event(socket, 'secureConnect')
  return socket
}

function tlsOptions({ sslMode, tls }: Target, host: string): ConnectionOptions {
  const { rootCertificate, certificate, key, keyPassword, revocations, minVersion, maxVersion } = tls
  const fullyChecked = sslMode === 'verify-full' || rootCertificate === 'system'
  // As with libpq, `require` beside a root certificate is `verify-ca`.
  const checked = fullyChecked || sslMode === 'verify-ca' || (sslMode === 'require' && rootCertificate !== undefined)
  return {
    host,
    ...(isIP(host) === 0 && { servername: host }),
    rejectUnauthorized: checked,
    ...(!fullyChecked && { checkServerIdentity: () => undefined }),
    ...(rootCertificate !== undefined && rootCertificate !== 'system' && { ca: readFileSync(rootCertificate) }),
    ...(certificate !== undefined && { cert: readFileSync(certificate) }),
    ...(key !== undefined && { key: readFileSync(key) }),
    ...(keyPassword !== undefined && { passphrase: keyPassword }),
    ...(revocations !== undefined && { crl: readFileSync(revocations) }),
    minVersion: (minVersion ?? 'TLSv1.2') as SecureVersion,
    ...(maxVersion !== undefined && { maxVersion: maxVersion as SecureVersion }),
  }
}

/** Resolves to what the event brings; rejects when the socket fails or ends before. */
function event<T>(socket: Socket, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = (value: T) => {
      settle()
      resolve(value)
    }
    const failed = (error: Error) => {
      settle()
      reject(error)
    }
    const closed = () => failed(new Error('the connection was closed while it was opened'))
    const settle = () => socket.off(name, done).off('error', failed).off('close', closed)
    socket.on(name, done).on('error', failed).on('close', closed)
  })
}
/** From the first moment on an error has a listener; the one who waits, or the driver, tells of it. */
const ignore = () => {}
