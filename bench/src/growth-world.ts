/**
 * A small world that stays as it is, in a database that grows around it: whatever a command costs more there is for data
 * that it does not answer with.
 */
import { randomBytes } from 'node:crypto'
import { type Encodable, encode, type Value } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { query } from './backing.ts'
import { connect, expectOk, type Identity, signingKeyOf, type Wire } from './client.ts'
import {
  bootstrapOrganization,
  createDevice,
  createRealm,
  createUser,
  createVlob,
  revokeUser,
  share,
} from './identity.ts'
import { ADMINISTRATION_TOKEN, type Deployment } from './server.ts'

const ORGANIZATION = 'Growth'
const BLOB_BYTES = 300
const VERSIONS = 3
/** Of the re-encryption batches that are asked for; so many versions that they do not end. */
const BATCH = 2
const REENCRYPTED = 1_000
const ATTEMPTS = 5
/** Enough to be gathered. */
const TOGETHER = 8
const TALLIED_AT_ONCE = 1000
/** So many that PostgreSQL finds it worth while to look one up by key. */
const REALMS_PER_UNIT = 10

type Request = { cmd: string } & { readonly [field: string]: Encodable }

type Ids = {
  realm_id: Uuid
  /** A realm, and a vlob of the other one, that do not grow. */
  quiet_id: Uuid
  quiet_vlob_id: Uuid
  vlob_id: Uuid
  block_id: Uuid
  /** A realm in maintenance. */
  reencrypted_id: Uuid
}

export class GrowthWorld {
  readonly #databaseUrl: string
  readonly #wsUrl: string
  readonly #author: Identity
  /** Has as many live invitations as there are units. */
  readonly #inviter: Identity
  #wire: Wire
  #units = 0
  #people = 0
  #shared = 0
  readonly #ids: Ids

  private constructor(
    databaseUrl: string,
    wsUrl: string,
    { author, inviter }: { author: Identity; inviter: Identity },
    wire: Wire,
    ids: Ids,
  ) {
    this.#databaseUrl = databaseUrl
    this.#wsUrl = wsUrl
    this.#author = author
    this.#inviter = inviter
    this.#wire = wire
    this.#ids = ids
  }

  /** On a migrated, empty database. */
  static async create(databaseUrl: string, server: Deployment): Promise<GrowthWorld> {
    const author = await bootstrapOrganization(server.httpUrl, ADMINISTRATION_TOKEN, ORGANIZATION)
    const wire = await connect(server.wsUrls[0]!, author, signingKeyOf(author))
    const inviter = await createUser(wire, author, 'inviter', 'ADMIN')
    const realm_id = await createRealm(wire, author)
    const quiet_id = await createRealm(wire, author)
    const reencrypted_id = await createRealm(wire, author)
    const vlob_id = await createVlob(wire, realm_id, randomBytes(BLOB_BYTES))
    const quiet_vlob_id = await createVlob(wire, realm_id, randomBytes(BLOB_BYTES))
    const block_id = Uuid.random()
    await wire.request({ cmd: 'block_create', block_id, realm_id, block: randomBytes(BLOB_BYTES) })
    await createVlob(wire, reencrypted_id, randomBytes(BLOB_BYTES))
    const ids = { realm_id, quiet_id, vlob_id, quiet_vlob_id, block_id, reencrypted_id }
    const world = new GrowthWorld(databaseUrl, server.wsUrls[0]!, { author, inviter }, wire, ids)
    for (let version = 2; version <= VERSIONS; version++) await world.request(world.#update(quiet_vlob_id, version))
    await world.request({
      cmd: 'realm_start_reencryption_maintenance',
      realm_id: reencrypted_id,
      encryption_revision: 2,
      timestamp: DateTime.now(),
      per_participant_message: { author: randomBytes(10) },
    })
    await world.#query(versions(vlobOf(reencrypted_id), reencrypted_id, REENCRYPTED))
    await world.#query(
      `INSERT INTO organization (organization_id, bootstrap_token, user_profile_outsider_allowed, created_on)
       VALUES ('Beside', '', TRUE, now())`,
    )
    return world
  }

  /** Commands whose answers do not depend on what grows. */
  async commands(): Promise<{ readonly [name: string]: () => Promise<unknown> }> {
    const { realm_id, quiet_id, vlob_id, quiet_vlob_id, block_id, reencrypted_id } = this.#ids
    const checkpoint = Number(
      (await this.#query('SELECT checkpoint FROM realm WHERE realm_id = $1', [realm_id.hex]))[0]!.checkpoint,
    )
    const [{ inbox } = { inbox: 0 }] = await this.#query(
      "SELECT message_count AS inbox FROM user_ WHERE user_id = 'author'",
    )
    const read = { cmd: 'vlob_read', encryption_revision: 1, vlob_id, version: null, timestamp: null }
    const first = (await this.request({ ...read, version: 1 })).timestamp as DateTime
    const newest = { version: (await this.request(read)).version as number }
    const send = (next: () => Request) => () => this.request(next())
    const roles = ['CONTRIBUTOR', 'READER']
    const encryption_revision = 2
    return {
      vlob_read: send(() => read),
      'handshakes, reads and writes together': () =>
        Promise.all(
          Array.from({ length: TOGETHER }, async () => {
            const wire = await connect(this.#wsUrl, this.#author, signingKeyOf(this.#author))
            const own = await createVlob(wire, quiet_id, randomBytes(BLOB_BYTES))
            await wire.request(read)
            await wire.request(this.#update(own, 2))
            wire.close()
          }),
        ),
      'vlob_read at an instant': send(() => ({ ...read, timestamp: first })),
      vlob_list_versions: send(() => ({ cmd: 'vlob_list_versions', vlob_id: quiet_vlob_id })),
      vlob_poll_changes: send(() => ({ cmd: 'vlob_poll_changes', realm_id, last_checkpoint: checkpoint - 1 })),
      vlob_update: send(() => this.#update(vlob_id, ++newest.version)),
      vlob_create: () => createVlob(this, quiet_id, randomBytes(BLOB_BYTES)),
      block_read: send(() => ({ cmd: 'block_read', block_id })),
      block_create: send(() => ({
        cmd: 'block_create',
        block_id: Uuid.random(),
        realm_id,
        block: randomBytes(BLOB_BYTES),
      })),
      realm_create: () => createRealm(this, this.#author),
      realm_status: send(() => ({ cmd: 'realm_status', realm_id })),
      realm_stats: send(() => ({ cmd: 'realm_stats', realm_id })),
      realm_get_role_certificates: send(() => ({ cmd: 'realm_get_role_certificates', realm_id })),
      realm_update_roles: () => {
        const role = roles[++this.#shared % roles.length]!
        return share(this, this.#author, { realm_id: quiet_id, user_id: 'u1', role })
      },
      vlob_maintenance_get_reencryption_batch: send(() => this.#batchRequest()),
      vlob_maintenance_save_reencryption_batch: async () => {
        const { batch } = await this.request(this.#batchRequest())
        const cmd = 'vlob_maintenance_save_reencryption_batch'
        await this.request({ cmd, realm_id: reencrypted_id, encryption_revision, batch: batch as Encodable })
      },
      message_get: send(() => ({ cmd: 'message_get', offset: Number(inbox) - 1 })),
      user_get: send(() => ({ cmd: 'user_get', user_id: 'u1' })),
      user_create: () => createUser(this, this.#author, `user${++this.#people}`),
      device_create: () => createDevice(this, this.#author, `author@pc${++this.#people}`),
      invite_list: send(() => ({ cmd: 'invite_list' })),
      invite_new: send(() => ({ cmd: 'invite_new', type: 'DEVICE', send_email: false })),
      'invite_new and invite_delete among many': () => this.#invite(),
      user_revoke: async () => {
        const user_id = `user${++this.#people}`
        await createUser(this, this.#author, user_id)
        await revokeUser(this, this.#author, user_id)
      },
      organization_config: send(() => ({ cmd: 'organization_config' })),
      organization_stats: send(() => ({ cmd: 'organization_stats' })),
      pki_enrollment_list: send(() => ({ cmd: 'pki_enrollment_list' })),
      shamir_recovery_others_list: send(() => ({ cmd: 'shamir_recovery_others_list' })),
    }
  }
  #batchRequest(): Request {
    const { reencrypted_id } = this.#ids
    return {
      cmd: 'vlob_maintenance_get_reencryption_batch',
      realm_id: reencrypted_id,
      encryption_revision: 2,
      size: BATCH,
    }
  }
  /** Invites a user and a device, each twice, and takes both back. */
  async #invite(): Promise<void> {
    const wire = await connect(this.#wsUrl, this.#inviter, signingKeyOf(this.#inviter))
    for (const whom of [{ type: 'USER', claimer_email: 'new@example.com' }, { type: 'DEVICE' }]) {
      const request = { cmd: 'invite_new', send_email: false, ...whom }
      await wire.request(request)
      const { token } = await wire.request(request)
      await wire.request({ cmd: 'invite_delete', token: token as Uuid, reason: 'CANCELLED' })
    }
    wire.close()
  }
  #update(vlob_id: Uuid, version: number): Request {
    const blob = randomBytes(BLOB_BYTES)
    return {
      cmd: 'vlob_update',
      encryption_revision: 1,
      vlob_id,
      version,
      timestamp: DateTime.now(),
      blob,
      sequester_blob: null,
    }
  }

  /** On one connection that is opened anew when it is lost. */
  async request(request: Request): Promise<{ [key: string]: Value }> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#wire.send(encode(request))
        return expectOk(await this.#wire.receive())
      } catch (error) {
        if (attempt === ATTEMPTS) throw error
        this.#wire = await connect(this.#wsUrl, this.#author, signingKeyOf(this.#author))
      }
    }
  }

  /**
   * Until there are so many units of everything else: users here and in another organization, ten times as many realms
   * that the author belongs to, and five times as many vlobs, versions, blocks and versions to re-encrypt; messages, ended invitations,
   * live ones by the inviter, who has shares for everybody's recovery, and decided enrollments. `analyze` false: the planner is not told.
   */
  async grow(units: number, { analyze = true } = {}): Promise<void> {
    const [from, to] = [this.#units + 1, units]
    const { realm_id, vlob_id, reencrypted_id } = this.#ids
    const series = (factor = 1) => `generate_series(${(from - 1) * factor + 1}, ${to * factor}) AS n`
    const author = `FROM device author JOIN user_ ON user_._id = author.user_ WHERE author.device_id = 'author@bench'`
    for (const statement of [
      `WITH made AS (
         INSERT INTO user_ (organization, user_id, folded_user_id, profile, user_certificate, redacted_user_certificate, user_certifier, created_on)
         SELECT organization._id, 'u' || n, 'u' || n, 'STANDARD', '\\x00', '\\x00', (SELECT author._id ${author}), now()
         FROM organization, ${series()} RETURNING *
       ), devices AS (
         INSERT INTO device (organization, user_, device_id, verify_key, device_certificate, redacted_device_certificate, device_certifier, created_on)
         SELECT organization, _id, user_id || '@pc', sha256(user_id::bytea), '\\x00', '\\x00', user_certifier, now() FROM made
       )
       INSERT INTO organization_users (organization, profile, active, revoked)
       SELECT organization, 'STANDARD', count(*), 0 FROM made GROUP BY organization
       ON CONFLICT (organization, profile) DO UPDATE SET active = organization_users.active + excluded.active`,
      `WITH made AS (
         INSERT INTO realm (organization, realm_id, created_on)
         SELECT author.organization, gen_random_uuid(), now() FROM (SELECT author.organization ${author}) author, ${series(REALMS_PER_UNIT)} RETURNING _id
       ), members AS (
         INSERT INTO realm_user (realm, user_, role, certified_on) SELECT made._id, author.user_, 'READER', now()
         FROM made, (SELECT author.user_ ${author}) author
       )
       INSERT INTO realm_role (realm, user_, role, certificate, certifier, certified_on)
       SELECT made._id, author.user_, 'READER', '\\x00', author._id, now() FROM made, (SELECT author.* ${author}) author`,
      versions(`SELECT _id FROM vlob WHERE vlob_id = '${vlob_id.hex}'`, realm_id, (to - from + 1) * 5),
      versions(vlobOf(reencrypted_id), reencrypted_id, (to - from + 1) * 5),
      `WITH realm AS (
         UPDATE realm SET checkpoint = checkpoint + ${(to - from + 1) * 5} WHERE realm_id = '${realm_id.hex}' RETURNING *
       ), made AS (
         INSERT INTO vlob (organization, vlob_id, realm, version, timestamp, changed)
         SELECT organization, gen_random_uuid(), _id, 1, now(), checkpoint - n + 1
         FROM realm, generate_series(1, ${(to - from + 1) * 5}) AS n RETURNING *
       ), atoms AS (
         INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
         SELECT made._id, 1, 1, '\\x00', 1, author._id, now() FROM made, (SELECT author._id ${author}) author
       )
       INSERT INTO realm_change (realm, index, vlob, version, size) SELECT realm, changed, _id, 1, 1 FROM made`,
      `INSERT INTO block (organization, block_id, realm, author, size, created_on)
       SELECT realm.organization, gen_random_uuid(), realm._id, author._id, 1, now()
       FROM realm, (SELECT author._id ${author}) author, ${series(5)} WHERE realm.realm_id = '${realm_id.hex}'`,
      `WITH counted AS (
         UPDATE user_ SET message_count = message_count + ${to - from + 1} WHERE user_id = 'author' RETURNING _id, message_count
       )
       INSERT INTO message (recipient, index, sender, timestamp, body)
       SELECT _id, message_count - n + 1, 'author@bench', now(), '\\x00' FROM counted, generate_series(1, ${to - from + 1}) AS n`,
      `WITH made AS (
         INSERT INTO invitation (organization, token, type, greeter, created_on, deleted_on, deleted_reason)
         SELECT author.organization, gen_random_uuid(), 'DEVICE', author.user_, now(), now(), 'FINISHED'
         FROM (SELECT author.* ${author}) author, ${series()} RETURNING _id, greeter
       )
       INSERT INTO conduit (invitation, greeter) SELECT _id, greeter FROM made`,
      `WITH made AS (
         INSERT INTO invitation (organization, token, type, greeter, claimer_email, created_on)
         SELECT organization, gen_random_uuid(), 'USER', _id, 'claimer' || n || '@example.com', now()
         FROM user_, ${series()} WHERE user_id = 'inviter' RETURNING _id, greeter
       )
       INSERT INTO conduit (invitation, greeter) SELECT _id, greeter FROM made`,
      `WITH inviter AS (
         SELECT _id, organization FROM user_ WHERE user_id = 'inviter'
       ), made AS (
         INSERT INTO shamir_recovery (organization, user_, reveal_token, brief_certificate, threshold, ciphered_data, created_on)
         SELECT organization, user_._id, gen_random_uuid(), '\\x00', 1, '\\x00', now()
         FROM inviter JOIN user_ USING (organization) JOIN ${series()} ON user_id = 'u' || n RETURNING *
       ), active AS (
         UPDATE user_ SET shamir_recovery = made._id FROM made WHERE user_._id = made.user_
       ), shares AS (
         INSERT INTO shamir_recovery_share (shamir_recovery, recipient, share_certificate, shares)
         SELECT made._id, inviter._id, '\\x00'::bytea, 1 FROM made, inviter
         UNION ALL
         SELECT made._id, author.user_, '\\x00', 1 FROM made JOIN user_ u1 ON u1._id = made.user_ AND u1.user_id = 'u1',
           (SELECT author.user_ ${author}) author
       )
       INSERT INTO invitation (organization, token, type, greeter, shamir_recovery, created_on)
       SELECT made.organization, gen_random_uuid(), 'SHAMIR_RECOVERY', inviter._id, made._id, now() FROM made, inviter`,
      `INSERT INTO pki_enrollment (organization, enrollment_id, submitter_der_x509_certificate, submit_payload_signature,
         submit_payload, submitted_on, enrollment_status, decided_on)
       SELECT author.organization, gen_random_uuid(), int4send(n), '\\x00', '\\x00', now(), 'CANCELLED', now()
       FROM (SELECT author.organization ${author}) author, ${series()}`,
    ])
      await this.#query(statement)
    this.#units = units
    if (!analyze) return
    // So many realms at once are brought into the organization's tally by some calls.
    for (let tallied = 0; tallied <= units * REALMS_PER_UNIT; tallied += TALLIED_AT_ONCE)
      await this.request({ cmd: 'organization_stats' })
    await this.#query('VACUUM ANALYZE')
  }

  #query(text: string, values: unknown[] = []): Promise<{ [column: string]: unknown }[]> {
    return query(this.#databaseUrl, text, values)
  }
  close(): void {
    this.#wire.close()
  }
}

/** The only one, or the first, of a realm. */
const vlobOf = (realm_id: Uuid): string =>
  `SELECT min(vlob._id) FROM vlob JOIN realm ON realm._id = vlob.realm WHERE realm_id = '${realm_id.hex}'`

/** More versions of a vlob, as changes of its realm. */
const versions = (vlob: string, realm_id: Uuid, count: number): string => `
  WITH realm AS (
    UPDATE realm SET checkpoint = checkpoint + ${count} WHERE realm_id = '${realm_id.hex}' RETURNING *
  ), vlob AS (
    UPDATE vlob SET version = version + ${count}, changed = realm.checkpoint, timestamp = now()
    FROM realm WHERE vlob._id = (${vlob}) RETURNING vlob.*
  ), atoms AS (
    INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
    SELECT vlob._id, 1, vlob.version - n + 1, '\\x00', 1, (SELECT _id FROM device WHERE device_id = 'author@bench'), now()
    FROM vlob, generate_series(1, ${count}) AS n
  )
  INSERT INTO realm_change (realm, index, vlob, version, size)
  SELECT realm._id, realm.checkpoint - n + 1, vlob._id, vlob.version - n + 1, 1
  FROM realm, vlob, generate_series(1, ${count}) AS n`
