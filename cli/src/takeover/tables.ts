/**
 * What each table of the new schema gets from the old one (spec 07 §3): queries whose rows go from one database into the
 * other untouched, so types and order of columns are the target's.
 *
 * A key is the source's plus a base that is the same for all tables. A vlob, which has no row there, has the key of its
 * first atom. Two realms may hold the same vlob_id (a race of the original): it belongs where it was first. Its newest version
 * is the newest that can be read: one that the last re-encryption lacks is out of reach, and is written again.
 */
import { atoms, changes, IS_ACCEPTED, IS_LOST, invitations, isUseless, meant, READABLE, type Scope } from './scope.ts'

/** One organization at its source, and where its keys go. */
export type Origin = Scope & {
  readonly level: number
  readonly organization_id: string
  readonly base: number
  /** Whether some recipient has two messages of the same index (a race of the original). */
  readonly hasDoubledMessages: boolean
}

export type TableCopy = {
  /** With its columns. */
  readonly into: string
  readonly table: string
  readonly query: (origin: Origin) => string
  /** First and last level that have it. */
  readonly from?: number
  readonly until?: number
}

const key = (column: string, { base }: Origin): string => `(${column} + ${base})::bigint`
/** For a query that reads the realms of the organization. */
const inOrganization = ({ organization }: Origin): string => `realm.organization = ${organization}`

/** The atoms of the organization without their blobs, and for each vlob_id its key and realm. */
const vlobs = (o: Origin): string => `
  atom AS MATERIALIZED (
    SELECT entry._id, entry.vlob_id, entry.version, octet_length(entry.blob) AS size, ${meant('entry.created_on')} AS created_on, revision.realm,
      revision.encryption_revision
    FROM ${atoms(o)}
  ), home AS MATERIALIZED (
    SELECT DISTINCT ON (vlob_id) vlob_id, _id AS key, realm FROM atom ORDER BY vlob_id, _id
  )`

/** Of an enrollment that is not waiting. */
const DECIDED_ON = `(CASE enrollment_state
    WHEN 'ACCEPTED' THEN coalesce((info_accepted).accepted_on, submitted_on)
    WHEN 'REJECTED' THEN coalesce((info_rejected).rejected_on, submitted_on)
    WHEN 'CANCELLED' THEN coalesce((info_cancelled).cancelled_on, submitted_on) END)`

/** In an order that respects references. */
export const TABLES: readonly TableCopy[] = [
  {
    table: 'realm',
    into: `realm (_id, organization, realm_id, encryption_revision, checkpoint, maintenance_type, maintenance_started_on,
      maintenance_started_by, archiving, deletion_date, created_on)`,
    query: o => `
      SELECT ${key('realm._id', o)}, ${key(`${o.organization}`, o)}, realm.realm_id, realm.encryption_revision::bigint,
        coalesce(newest.index, 0)::bigint, realm.maintenance_type::text, ${meant('realm.maintenance_started_on')},
        starter.device_id::text, ${o.level >= 14 ? "coalesce(archiving.configuration::text, 'AVAILABLE'), archiving.deletion_date" : "'AVAILABLE'::text, NULL::timestamptz"},
        coalesce(first.certified_on, to_timestamp(0))
      FROM realm
      LEFT JOIN device starter ON starter._id = realm.maintenance_started_by AND starter.organization = ${o.organization}
      LEFT JOIN (SELECT realm, max(index) AS index FROM ${changes(o)} GROUP BY realm) newest ON newest.realm = realm._id
      LEFT JOIN (
        SELECT realm, min(${meant('certified_on')}) AS certified_on FROM ${o.roles} entry WHERE realm = ANY(${o.realms}) GROUP BY realm
      ) first ON first.realm = realm._id
      ${
        o.level >= 14
          ? `LEFT JOIN (
        SELECT DISTINCT ON (realm) realm, configuration, deletion_date FROM realm_archiving WHERE realm = ANY(${o.realms})
        ORDER BY realm, ${meant('certified_on')} DESC, _id DESC
      ) archiving ON archiving.realm = realm._id`
          : ''
      }
      WHERE ${inOrganization(o)}`,
  },
  {
    table: 'realm_user',
    into: `realm_user (realm, user_, role, certified_on, last_role_change, last_vlob_update, last_archiving_change)`,
    query: o => `
      WITH holds AS (
        SELECT DISTINCT ON (realm, user_) entry.realm, entry.user_, entry.role, ${meant('entry.certified_on')} AS certified_on
        FROM realm JOIN ${o.roles} entry ON entry.realm = realm._id WHERE ${inOrganization(o)}
        ORDER BY realm, user_, ${meant('entry.certified_on')} DESC, entry._id DESC
      ), did AS (${o.level >= 9 ? recordedChanges(o) : derivedChanges(o)})
      SELECT ${key('realm', o)}, ${key('user_', o)}, role::text, certified_on, last_role_change, last_vlob_update,
        last_archiving_change
      FROM holds FULL JOIN did USING (realm, user_)`,
  },
  {
    table: 'realm_role',
    into: 'realm_role (_id, realm, user_, role, certificate, certifier, certified_on)',
    query: o => `
      SELECT ${key('entry._id', o)}, ${key('entry.realm', o)}, ${key('entry.user_', o)}, entry.role::text,
        entry.certificate, ${key('entry.certified_by', o)}, ${meant('entry.certified_on')}
      FROM realm JOIN ${o.roles} entry ON entry.realm = realm._id WHERE ${inOrganization(o)}`,
  },
  {
    table: 'realm_archiving',
    from: 14,
    into: 'realm_archiving (_id, realm, configuration, deletion_date, certificate, certifier, certified_on)',
    query: o => `
      SELECT ${key('entry._id', o)}, ${key('entry.realm', o)}, entry.configuration::text, entry.deletion_date,
        entry.certificate, ${key('entry.certified_by', o)}, ${meant('entry.certified_on')}
      FROM realm JOIN realm_archiving entry ON entry.realm = realm._id WHERE ${inOrganization(o)}`,
  },
  {
    table: 'vlob',
    into: 'vlob (_id, organization, vlob_id, realm, version, timestamp, changed)',
    query: o => `
      WITH ${vlobs(o)}, newest AS (
        SELECT atom.vlob_id, atom.realm, max(change.index) AS index
        FROM ${changes(o)} JOIN atom ON atom._id = change.vlob_atom
        GROUP BY 1, 2
      )
      SELECT DISTINCT ON (home.key) ${key('home.key', o)}, ${key(`${o.organization}`, o)}, home.vlob_id,
        ${key('home.realm', o)}, atom.version::bigint, atom.created_on, coalesce(newest.index, 0)::bigint
      FROM home JOIN atom USING (vlob_id, realm) JOIN realm ON realm._id = home.realm LEFT JOIN newest USING (vlob_id, realm)
      ORDER BY home.key, atom.encryption_revision = ${READABLE} DESC, atom.version DESC, atom._id`,
  },
  {
    table: 'vlob_atom',
    into: 'vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)',
    query: o => `
      WITH ${vlobs(o)}
      SELECT ${key('home.key', o)}, revision.encryption_revision::bigint, entry.version::bigint, entry.blob,
        octet_length(entry.blob)::bigint, ${key('entry.author', o)}, ${meant('entry.created_on')}
      FROM ${atoms(o)} JOIN home ON home.vlob_id = entry.vlob_id AND home.realm = revision.realm`,
  },
  {
    table: 'realm_change',
    into: 'realm_change (realm, index, vlob, version, size)',
    query: o => `
      WITH ${vlobs(o)}
      SELECT ${key('change.realm', o)}, change.index::bigint, ${key('home.key', o)}, atom.version::bigint, atom.size::bigint
      FROM ${changes(o)} JOIN atom ON atom._id = change.vlob_atom
      JOIN home ON home.vlob_id = atom.vlob_id AND home.realm = change.realm`,
  },
  {
    table: 'block',
    into: 'block (_id, organization, block_id, realm, author, size, created_on, deleted_on)',
    query: o => `
      SELECT ${key('_id', o)}, ${key('organization', o)}, block_id, ${key('realm', o)}, ${key('author', o)},
        size::bigint, ${meant('created_on')}, ${meant('deleted_on')}
      FROM block WHERE organization = ${o.organization}`,
  },
  {
    table: 'message',
    into: 'message (recipient, index, sender, timestamp, body)',
    query: o => `
      SELECT ${key('message.recipient', o)}, ${messageIndex(o)}, sender.device_id::text, ${meant('message.timestamp')}, message.body
      FROM ${o.messages} message JOIN device sender ON sender._id = message.sender AND sender.organization = message.organization
      WHERE message.organization = ${o.organization}`,
  },
  {
    table: 'shamir_recovery_share',
    from: 13,
    into: 'shamir_recovery_share (shamir_recovery, recipient, share_certificate, shares)',
    query: o => `
      SELECT ${key('setup._id', o)}, ${key('share.recipient', o)}, share.share_certificate, share.shares::bigint
      FROM shamir_recovery_setup setup JOIN shamir_recovery_share share ON share.shamir_recovery = setup._id
      WHERE setup.organization = ${o.organization} AND setup.ciphered_data IS NOT NULL`,
  },
  {
    table: 'invitation',
    into: `invitation (_id, organization, token, type, greeter, claimer_email, created_on, deleted_on, deleted_reason,
      shamir_recovery)`,
    query: o => `
      SELECT ${key('invitation._id', o)}, ${key('invitation.organization', o)}, token, type::text, ${key('greeter', o)},
        claimer_email::text, ${meant('invitation.created_on')}, CASE WHEN ${isUseless(o)} THEN now() ELSE ${meant('deleted_on')} END,
        CASE WHEN ${isUseless(o)} THEN 'CANCELLED' ELSE deleted_reason::text END,
        ${o.level >= 13 ? key('setup._id', o) : 'NULL::bigint'}
      FROM ${invitations(o)} WHERE invitation.organization = ${o.organization}`,
  },
  {
    table: 'legacy_invitation',
    until: 7,
    into: 'legacy_invitation (organization, invited, creator, created_on)',
    query: o => `
      SELECT DISTINCT ON (invited) ${key('organization', o)}, invited, ${key('creator', o)}, created_on
      FROM (
        SELECT organization, user_id::text AS invited, creator, created_on FROM user_invitation
        UNION ALL SELECT organization, device_id::text, creator, created_on FROM device_invitation
      ) pending
      WHERE organization = ${o.organization} ORDER BY invited, created_on DESC`,
  },
  {
    table: 'pki_enrollment',
    from: 10,
    into: `pki_enrollment (_id, organization, enrollment_id, submitter_der_x509_certificate, submit_payload_signature,
      submit_payload, submitted_on, enrollment_status, decided_on, accepter, accepted, accepter_der_x509_certificate,
      accept_payload_signature, accept_payload)`,
    query: o => `
      SELECT ${key('_id', o)}, ${key('organization', o)}, enrollment_id, submitter_der_x509_certificate,
        submit_payload_signature, submit_payload, ${meant('submitted_on')},
        CASE WHEN ${IS_LOST} THEN 'CANCELLED' ELSE enrollment_state::text END,
        ${meant(DECIDED_ON)},
        ${['accepter', 'submitter_accepted_device'].map(column => `CASE WHEN ${IS_ACCEPTED} THEN ${key(column, o)} END`).join(', ')},
        ${['accepter_der_x509_certificate', 'accept_payload_signature', 'accept_payload'].map(field => `CASE WHEN ${IS_ACCEPTED} THEN (info_accepted).${field} END`).join(', ')}
      FROM pki_enrollment WHERE organization = ${o.organization}`,
  },
  {
    table: 'sequester_service',
    from: 11,
    into: `sequester_service (_id, organization, service_id, service_label, certificate, type, webhook_url, created_on,
      disabled_on)`,
    query: o => `
      SELECT ${key('_id', o)}, ${key('organization', o)}, service_id, service_label::text, service_certificate,
        ${o.level >= 12 ? "service_type::text, CASE WHEN service_type = 'WEBHOOK' THEN coalesce(webhook_url, '') END" : "'STORAGE'::text, NULL::text"}, ${meant('created_on')}, ${meant('disabled_on')}
      FROM sequester_service WHERE organization = ${o.organization}`,
  },
  {
    table: 'sequester_blob',
    from: 11,
    into: 'sequester_blob (service, vlob, version, blob)',
    query: o => `
      WITH ${vlobs(o)}
      SELECT DISTINCT ON (service._id, home.key, atom.version) ${key('service._id', o)}, ${key('home.key', o)},
        atom.version::bigint, entry.blob
      FROM sequester_service service JOIN sequester_service_vlob_atom entry ON entry.service = service._id
      JOIN atom ON atom._id = entry.vlob_atom JOIN home ON home.vlob_id = atom.vlob_id AND home.realm = atom.realm
      JOIN ${changes(o)} ON change.vlob_atom = atom._id
      WHERE service.organization = ${o.organization}
      ORDER BY service._id, home.key, atom.version, change.index DESC, entry._id DESC`,
  },
  {
    table: 'block_data',
    into: 'block_data (organization_id, block_id, data)',
    query: o => `
      SELECT content.organization_id::text, content.block_id, content.data
      FROM block_data content JOIN block ON block.organization = ${o.organization} AND block.block_id = content.block_id
      WHERE content.organization_id = '${o.organization_id}'`,
  },
]

/** What users did in realms, as the original kept it from level 9 on. */
const recordedChanges = (o: Origin): string => `
  SELECT entry.realm, entry.user_, ${meant('entry.last_role_change')} AS last_role_change,
    ${meant('entry.last_vlob_update')} AS last_vlob_update,
    ${o.level >= 14 ? meant('entry.last_archiving_change') : 'NULL::timestamptz'} AS last_archiving_change
  FROM realm_user_change entry WHERE entry.realm = ANY(${o.realms})`

/** The same of what they left behind. */
const derivedChanges = (o: Origin): string => `
  SELECT realm, user_, max(last_role_change) AS last_role_change, max(last_vlob_update) AS last_vlob_update,
    NULL::timestamptz AS last_archiving_change
  FROM (
    SELECT entry.realm, device.user_, entry.certified_on AS last_role_change, NULL::timestamptz AS last_vlob_update
    FROM realm JOIN ${o.roles} entry ON entry.realm = realm._id
    JOIN device ON device._id = entry.certified_by AND device.organization = ${o.organization}
    WHERE ${inOrganization(o)}
    UNION ALL
    SELECT revision.realm, device.user_, NULL, entry.created_on
    FROM ${atoms(o)} JOIN device ON device._id = entry.author AND device.organization = ${o.organization}
  ) deeds GROUP BY realm, user_`

/** Of doubled ones each gets its own, so that none is lost; who has read up to the newest sees at most that one again. */
const messageIndex = ({ hasDoubledMessages }: Origin): string =>
  hasDoubledMessages
    ? `(row_number() OVER (PARTITION BY message.recipient ORDER BY message.index, message._id)
        + greatest(max(message.index) OVER (PARTITION BY message.recipient) - count(*) OVER (PARTITION BY message.recipient), 0))::bigint`
    : 'message.index::bigint'

export const tablesAt = (level: number): TableCopy[] =>
  TABLES.filter(table => level >= (table.from ?? 0) && level <= (table.until ?? Infinity))
