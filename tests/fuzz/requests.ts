/** Requests of every command: mostly such that they get far, some wrong in one place, some beyond all bounds. */
import { deflateSync } from 'node:zlib'
import { type Encodable, encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Extension, Float, Uuid } from '@parsec/shared/codec/values'
import type { CommandSpec } from '@parsec/shared/protocol/command'
import type { Device } from '../harness/client.ts'
import type { Random } from './random.ts'
import { formsOf, type Shape } from './shape.ts'

/** Ids that exist, so that requests mean something; what requests make anew is added. */
export type World = {
  readonly realms: Uuid[]
  readonly vlobs: Uuid[]
  readonly others: Uuid[]
  /** Users that nobody is connected as, and those who are. */
  readonly strangers: string[]
  readonly members: string[]
  readonly organizations: string[]
}

type Fields = { [name: string]: Encodable }
/** Most ids of a kind that are remembered. */
const REMEMBERED = 200
/** One letter and marks that normalising would have to sort. */
const MARKS = `a${'\u0307\u0323'.repeat(20_000)}`

export class Requests {
  readonly #random: Random
  readonly #world: World
  readonly #author: Device
  readonly #forms = new Map<CommandSpec, ReturnType<typeof formsOf>>()
  constructor(random: Random, world: World, author: Device) {
    this.#random = random
    this.#world = world
    this.#author = author
  }

  /** The encoded message of one request. */
  next(spec: CommandSpec): Buffer {
    const forms = this.#forms.get(spec) ?? formsOf(spec)
    this.#forms.set(spec, forms)
    const form = this.#random.of(forms)
    const fields: Fields = { cmd: spec.cmd }
    for (const [name, shape] of Object.entries(form)) fields[name] = this.#value(name, shape)
    switch (this.#random.int(10)) {
      case 0:
        fields[this.#random.of(Object.keys(fields))] = this.#anything(0)
        break
      case 1:
        delete fields[this.#random.of(Object.keys(fields))]
        break
      case 2:
        fields[`extra${this.#random.int(3)}`] = this.#anything(0)
    }
    const bytes = encode(fields)
    return this.#random.once(40) ? this.#damaged(bytes) : bytes
  }

  #damaged(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes)
    copy[this.#random.int(copy.length)] = this.#random.int(256)
    return this.#random.once(3) ? copy.subarray(0, this.#random.int(copy.length)) : copy
  }

  #value(name: string, shape: Shape): Encodable {
    const random = this.#random
    switch (shape.kind) {
      case 'enumeration':
        return random.once(30) ? 'NO_SUCH_VALUE' : random.of(shape.values)
      case 'list':
        return Array.from({ length: this.#count() }, () => this.#value(name, shape.item))
      case 'map':
        return new Map(
          Array.from({ length: this.#count() }, () => [this.#value(name, shape.key), this.#value(name, shape.value)]),
        )
      case 'struct':
        return Object.fromEntries(Object.entries(shape.fields).map(([n, inner]) => [n, this.#value(n, inner)]))
      case 'bytes':
        return random.once(12) ? null : this.#bytes(name)
      case 'uuid':
        return this.#uuid(name)
      case 'time':
        return random.once(4) ? this.#instant() : DateTime.now()
      case 'int':
        return random.once(10) ? random.of([-1, 0, 2 ** 31, Number.MAX_SAFE_INTEGER, 2n ** 63n]) : random.int(4)
      case 'float':
        return new Float(random.int(100))
      case 'bool':
        return random.once(2)
      case 'id':
        return this.#id(name)
      case 'text':
        return random.once(8) ? this.#text() : random.of(['', 'x', 'alice', 'a b', '%', 'Ünïcödé', 'a@b.c', null])
      default:
        return this.#anything(0)
    }
  }
  #count(): number {
    return this.#random.once(30) ? this.#random.of([500, 1000, 1001, 9000]) : this.#random.int(4)
  }
  #uuid(name: string): Uuid {
    const { realms, vlobs, others } = this.#world
    const known = name === 'realm_id' ? realms : name === 'vlob_id' ? vlobs : others
    if (known.length > 0 && !this.#random.once(4)) return this.#random.of(known)
    const id = Uuid.random()
    if (known.length >= REMEMBERED) known.shift()
    known.push(id)
    return id
  }
  #id(name: string): string {
    if (this.#random.once(10)) return this.#text()
    const { members, organizations } = this.#world
    if (name === 'organization_id') return this.#random.of(organizations)
    if (name.includes('device_name')) return this.#random.of(['dev1', 'dev2', 'laptop'])
    const user = this.#random.once(2) ? this.#random.of(members) : this.#stranger()
    return name.includes('device_id') ? `${user}@dev1` : user
  }
  #stranger(): string {
    const { strangers } = this.#world
    if (strangers.length > 0 && !this.#random.once(3)) return this.#random.of(strangers)
    const user_id = `u${this.#random.int(1_000_000)}`
    if (strangers.length >= REMEMBERED) strangers.shift()
    strangers.push(user_id)
    return user_id
  }
  #text(): string {
    return this.#random.of(['\0', '../x', 'é'.repeat(40), 'x'.repeat(70_000), MARKS, '😀'.repeat(255), '%_\\', "';--"])
  }
  #instant(): DateTime {
    return this.#random.of([
      new DateTime(0),
      new DateTime(-62_135_596_800_000_000),
      new DateTime(253_402_300_798_000_000),
      DateTime.now().plus(-200),
      DateTime.now().plus(400),
    ])
  }
  #bytes(name: string): Buffer {
    const random = this.#random
    if (/certificate|brief|shares/.test(name) && !random.once(15)) return this.#certificate(name)
    if (name.endsWith('payload')) return deflateSync(encode(this.#payload(name)))
    if (name.includes('key')) return random.bytes(random.once(20) ? 31 : 32)
    return random.once(40) ? Buffer.alloc(random.of([0, 65_536, 65_537, 1_048_576])) : random.bytes(random.int(80))
  }
  #payload(name: string): Fields {
    const key = this.#random.bytes(32)
    return name === 'submit_payload'
      ? { type: 'pki_enrollment_submit_payload', verify_key: key, public_key: key, requested_device_label: 'x' }
      : { type: 'pki_enrollment_answer_payload', device_id: 'a@b', profile: 'STANDARD', root_verify_key: key }
  }

  /** Signed by the author, so that it is read; of the kind that the field wants, or another. */
  #certificate(name: string): Buffer {
    const random = this.#random
    const { device_id, key } = this.#author
    const timestamp = random.once(8) ? this.#instant() : DateTime.now()
    const user_id = random.once(6) ? this.#id('user_id') : this.#stranger()
    const redacted = name.startsWith('redacted')
    const kinds: { [kind: string]: Fields } = {
      user: {
        type: 'user_certificate',
        user_id,
        human_handle: redacted ? null : [`${user_id}@example.com`, random.once(10) ? this.#text() : 'Somebody'],
        public_key: random.bytes(32),
        is_admin: false,
        profile: 'STANDARD',
      },
      device: {
        type: 'device_certificate',
        device_id: `${random.once(2) ? this.#author.user_id : user_id}@d${random.int(1000)}`,
        device_label: redacted ? null : random.once(10) ? this.#text() : 'My PC',
        verify_key: random.bytes(32),
      },
      revoked: { type: 'revoked_user_certificate', user_id: this.#stranger() },
      role: {
        type: 'realm_role_certificate',
        realm_id: this.#uuid('realm_id'),
        user_id: random.once(2) ? this.#author.user_id : this.#id('user_id'),
        role: random.of(['OWNER', 'OWNER', 'MANAGER', 'READER', null]),
      },
      archiving: {
        type: 'realm_archiving_certificate',
        realm_id: this.#uuid('realm_id'),
        configuration: random.of<Encodable>([
          { type: 'AVAILABLE' },
          { type: 'ARCHIVED' },
          { type: 'DELETION_PLANNED', deletion_date: DateTime.now().plus(3_000_000) },
        ]),
      },
      brief: {
        type: 'shamir_recovery_brief_certificate',
        threshold: 1,
        per_recipient_shares: new Map(this.#world.members.map(member => [member, 1])),
      },
      share: {
        type: 'shamir_recovery_share_certificate',
        recipient: random.of(this.#world.members),
        ciphered_share: random.bytes(20),
      },
    }
    const wanted = Object.keys(kinds).find(kind => name.includes(kind)) ?? random.of(Object.keys(kinds))
    const fields = { author: device_id, timestamp, ...kinds[random.once(20) ? random.of(Object.keys(kinds)) : wanted] }
    const padding = random.once(60) ? { padding: 'x'.repeat(random.of([10_000, 200_000, 2_000_000])) } : {}
    return key.sign(deflateSync(encode({ ...fields, ...padding })))
  }

  #anything(depth: number): Encodable {
    const random = this.#random
    switch (random.int(depth > 3 ? 10 : 12)) {
      case 0:
        return null
      case 1:
        return random.once(2)
      case 2:
        return random.int(2 ** 31) * (random.once(2) ? 1 : -1)
      case 3:
        return new Float(random.of([0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300]))
      case 4:
        return random.bytes(random.int(40))
      case 5:
        return this.#text()
      case 6:
        return Uuid.random()
      case 7:
        return this.#instant()
      case 8:
        return new Extension(3 + random.int(100), random.bytes(random.int(20)))
      case 9:
        return Array(random.of([10, 1000, 60_000])).fill(random.of<Encodable>([0, null, '', 'x'.repeat(50)]))
      case 10:
        return Array.from({ length: random.int(5) }, () => this.#anything(depth + 1))
      default:
        return { a: this.#anything(depth + 1), type: this.#anything(depth + 1) }
    }
  }
}
