/** Which devices of an organization are trusted: each is certified by an earlier one, the first by the root key (spec 01 §5). */
import { limits } from '../limits.ts'
import type { DeviceID } from '../protocol/types.ts'
import { inflateMap, loadStored } from './certificate.ts'
import { SIGNATURE_BYTES } from './crypto.ts'

export type TrustedDevice = { device_id: DeviceID; verify_key: Buffer }

/** The devices whose certificate, or that of a user's device before them, leads back to the root key; in any order. */
export function trustedDevices<K>(
  certificates: ReadonlyMap<K, Buffer>,
  root_verify_key: Buffer,
): Map<K, TrustedDevice> {
  const trusted = new Map<K, TrustedDevice>()
  const keys = new Map<DeviceID | null, Buffer>([[null, root_verify_key]])
  let waiting = [...certificates]
  for (let before = 0; waiting.length !== before; ) {
    before = waiting.length
    waiting = waiting.filter(([row, bytes]) => {
      const author = claimedAuthor(bytes)
      const verify_key = author === undefined ? undefined : keys.get(author)
      if (author === undefined || !verify_key) return true
      const loaded = loadStored('device_certificate', bytes, { author, verify_key })
      if (!loaded.ok) return true
      const device = { device_id: loaded.certificate.device_id, verify_key: loaded.certificate.verify_key }
      trusted.set(row, device)
      if (!keys.has(device.device_id)) keys.set(device.device_id, device.verify_key)
      return false
    })
  }
  return trusted
}

/** Who a certificate says that it is by, unverified. */
export function claimedAuthor(certificate: Buffer): DeviceID | null | undefined {
  const author = inflateMap(certificate.subarray(SIGNATURE_BYTES), limits.certificate.value)?.author
  return author === null || typeof author === 'string' ? author : undefined
}
