/** What the headers of an HTTP request say about its client (spec 02 §8.1). */
import type { IncomingHttpHeaders } from 'node:http'
import { deviceId, parse } from '@parsec/shared/codec/fields'
import { Uuid } from '@parsec/shared/codec/values'
import type { DeviceID } from '@parsec/shared/protocol/types'
import { type ApiVersion, formatVersion, SUPPORTED_API_VERSIONS, settle } from '@parsec/shared/protocol/versions'

/** What HTTP serves: API v1 is WebSocket only. */
const HTTP_API_VERSIONS = SUPPORTED_API_VERSIONS.filter(([major]) => major !== 1)
/** Value of `Supported-Api-Versions`. */
export const HTTP_API_VERSIONS_TEXT = HTTP_API_VERSIONS.map(formatVersion).join(';')
/** `Api-Version` of replies to clients whose version is not served. */
export const NEWEST_API_VERSION = HTTP_API_VERSIONS.at(-1)!

const DEFAULT_API_VERSION: ApiVersion = [3, 0]

/** Version of the client and the server's of the same major; undefined: not served. */
export function apiVersions({
  'api-version': text,
}: IncomingHttpHeaders): { client: ApiVersion; server: ApiVersion } | undefined {
  const match = text === undefined ? undefined : /^(\d{1,9})\.(\d{1,9})$/.exec(String(text))
  if (match === null) return undefined
  const client: ApiVersion = match ? [Number(match[1]), Number(match[2])] : DEFAULT_API_VERSION
  const server = settle(client, HTTP_API_VERSIONS)
  return server && { client, server }
}

/** Whether the body is msgpack; clients up to 2.11 say that it is a form. */
export const isMsgpack = ({ 'content-type': type }: IncomingHttpHeaders): boolean =>
  type === 'application/msgpack' || type === 'application/x-www-form-urlencoded'

export const acceptsEventStream = ({ accept }: IncomingHttpHeaders): boolean => accept === 'text/event-stream'

/** The device that `Author` names; undefined when the header is absent or malformed. */
export function authorOf({ author }: IncomingHttpHeaders): DeviceID | undefined {
  const bytes = base64(author)
  // What is no UTF-8 is replaced, by a character that no id has.
  const id = parse(deviceId(), bytes?.toString())
  return id.ok ? id.value : undefined
}

/** The signature of the body; undefined when method or signature are absent or malformed. */
export function signatureOf({ authorization, signature }: IncomingHttpHeaders): Buffer | undefined {
  return authorization === 'PARSEC-SIGN-ED25519' ? base64(signature) : undefined
}

export function invitationTokenOf(headers: IncomingHttpHeaders): Uuid | undefined {
  const text = headers['invitation-token']
  return typeof text === 'string' ? Uuid.parse(text) : undefined
}

/** Bytes of standard base64 with padding; undefined for anything else. */
function base64(text: string | string[] | undefined): Buffer | undefined {
  if (typeof text !== 'string' || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  return Buffer.from(text, 'base64')
}
