/** The unsigned payloads of an enrollment with an X.509 certificate (spec 03 §7.1): `zlib(msgpack(map))`. */
import { z } from 'zod'
import { constant, deviceId, deviceLabel, enumeration, humanHandle, key, nullable, parse } from '../codec/fields.ts'
import { limits } from '../limits.ts'
import { USER_PROFILES } from '../protocol/types.ts'
import { inflateMap } from './certificate.ts'

const schemas = {
  pki_enrollment_submit_payload: z.object({
    type: constant('pki_enrollment_submit_payload'),
    verify_key: key(),
    public_key: key(),
    requested_device_label: deviceLabel(),
  }),
  pki_enrollment_answer_payload: z.object({
    type: constant('pki_enrollment_answer_payload'),
    device_id: deviceId(),
    // The first releases with this command leave both out.
    device_label: nullable(deviceLabel()),
    human_handle: nullable(humanHandle()),
    profile: enumeration(USER_PROFILES),
    root_verify_key: key(),
  }),
}

/**
 * Why `payload` is none of that type, as a text for people; undefined when it is one. Nothing else about it is ever
 * checked: what it says is between the two clients.
 */
export function payloadFlaw(type: keyof typeof schemas, payload: Buffer): string | undefined {
  const fields = inflateMap(payload, limits.certificate.value)
  if (!fields) return 'Invalid payload data (not a compressed msgpack map).'
  const parsed = parse<object>(schemas[type], fields)
  return parsed.ok
    ? undefined
    : `Invalid payload data (${[...(parsed.errors as Map<string, unknown>).keys()].join(', ')}).`
}
