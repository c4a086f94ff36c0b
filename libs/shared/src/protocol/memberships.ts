/**
 * The realms of a user on their way from the database to a gateway. There may be a hundred thousand: PostgreSQL packs them
 * into one value, services pass it on as it is, and the gateway reads one after the other.
 */

import type { DateTime, Uuid } from '../codec/values.ts'
import { fragment } from '../postgres/sql.ts'

/** `place`: of the newest event of the realm. */
export type Membership = { realm_id: Uuid; certified_on: DateTime; place: number }

/** `packed` in the place of `realms` where it was asked for; the first release neither ask nor answer so. */
export type Memberships = { realms: Membership[]; packed?: Buffer[] }

/** 16 bytes of id, then instant and place as 64-bit integers. */
const RECORD_BYTES = 32
const PIECE_BYTES = 16_384 * RECORD_BYTES
/** 2000-01-01, where PostgreSQL counts from, in microseconds since 1970. */
const POSTGRES_EPOCH_US = 946_684_800_000_000

/** Of all rows of `realm_user` joined with `realm`. */
export const PACKED = fragment`coalesce(string_agg(uuid_send(realm.realm_id) || timestamptz_send(realm_user.certified_on)
  || int8send(realm.checkpoint + realm.steps), ''), '')`

/** In pieces that a message may have. */
export const piecesOf = (packed: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(packed.length / PIECE_BYTES) }, (_, i) =>
    packed.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
  )

type Read = { hex: string; certified_on: number; place: number }

/** One after the other. `certified_on` in microseconds since 1970. */
export function* membershipsIn({ realms, packed = [] }: Memberships): Generator<Read> {
  for (const { realm_id, certified_on, place } of realms)
    yield { hex: realm_id.hex, certified_on: certified_on.us, place }
  for (const piece of packed)
    for (let at = 0; at < piece.length; at += RECORD_BYTES)
      yield {
        hex: piece.toString('hex', at, at + 16),
        certified_on: Number(piece.readBigInt64BE(at + 16)) + POSTGRES_EPOCH_US,
        place: Number(piece.readBigInt64BE(at + 24)),
      }
}
