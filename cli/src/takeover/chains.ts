/** Whether every certificate of an organization loads and leads back to its root key (spec 07 §4). */
import { type CertificateType, loadCertificate, type Signer } from '@parsec/shared/certificates/certificate'
import { claimedAuthor, type TrustedDevice, trustedDevices } from '@parsec/shared/certificates/device-chain'
import { loadServiceCertificate, publicKeyFromDer } from '@parsec/shared/certificates/sequester'
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Found } from './finding.ts'
import type { Place } from './measure.ts'

const PAGE = 500

/** A certificate by a device, or by the root key (null). */
type Signed = { _id: number; name: string; certificate: Buffer | null; certifier: number | null }
/** `needs`: a table that has rows when this one has. */
type Kind = { type: CertificateType; table: string; needs: string; query: (organization: number) => string }

const KINDS: readonly Kind[] = [
  {
    type: 'user_certificate',
    table: 'user_',
    needs: 'user_',
    query: o => `SELECT _id, user_id::text AS name, user_certificate AS certificate, user_certifier AS certifier
      FROM user_ WHERE organization = ${o}`,
  },
  {
    type: 'user_certificate',
    table: 'user_ (redacted)',
    needs: 'user_',
    query:
      o => `SELECT _id, user_id::text AS name, redacted_user_certificate AS certificate, user_certifier AS certifier
      FROM user_ WHERE organization = ${o}`,
  },
  {
    type: 'revoked_user_certificate',
    table: 'user_ (revoked)',
    needs: 'user_',
    query:
      o => `SELECT _id, user_id::text AS name, revoked_user_certificate AS certificate, revoked_user_certifier AS certifier
      FROM user_ WHERE organization = ${o} AND revoked_on IS NOT NULL`,
  },
  {
    type: 'device_certificate',
    table: 'device (redacted)',
    needs: 'device',
    query:
      o => `SELECT _id, device_id::text AS name, redacted_device_certificate AS certificate, device_certifier AS certifier
      FROM device WHERE organization = ${o}`,
  },
  {
    type: 'realm_role_certificate',
    table: 'realm_user_role',
    needs: 'realm_role',
    query:
      o => `SELECT entry._id, replace(realm.realm_id::text, '-', '') AS name, entry.certificate, entry.certified_by AS certifier
      FROM realm JOIN realm_user_role entry ON entry.realm = realm._id WHERE realm.organization = ${o}`,
  },
  {
    type: 'realm_archiving_certificate',
    table: 'realm_archiving',
    needs: 'realm_archiving',
    query:
      o => `SELECT entry._id, replace(realm.realm_id::text, '-', '') AS name, entry.certificate, entry.certified_by AS certifier
      FROM realm JOIN realm_archiving entry ON entry.realm = realm._id WHERE realm.organization = ${o}`,
  },
]

type Facts = { root_verify_key: Buffer | null; authority_certificate: Buffer | null; authority_key: Buffer | null }

export async function* checkCertificates(
  reader: BulkSession,
  { level, organization, measures }: Place,
): AsyncGenerator<Found> {
  const [facts] = await reader.rows<Facts>(
    level >= 11
      ? 'SELECT root_verify_key, sequester_authority_certificate AS authority_certificate, sequester_authority_verify_key_der AS authority_key FROM organization WHERE _id = $1'
      : 'SELECT root_verify_key, NULL::bytea AS authority_certificate, NULL::bytea AS authority_key FROM organization WHERE _id = $1',
    [organization],
  )
  const { root_verify_key } = facts!
  if (!root_verify_key) return
  const root: Signer = { author: null, verify_key: root_verify_key }

  const devices = new Map<number, Buffer>()
  const names = new Map<number, string>()
  const query = `SELECT _id, device_id::text AS name, device_certificate AS certificate FROM device WHERE organization = ${organization}`
  for await (const rows of reader.pages<{ _id: number; name: string; certificate: Buffer }>(query, PAGE))
    for (const { _id, name, certificate } of rows) {
      devices.set(_id, certificate)
      names.set(_id, name)
    }
  const trusted = trustedDevices(devices, root_verify_key)
  for (const [_id, name] of names)
    if (trusted.get(_id)?.device_id !== name) yield flaw('device', { _id, name }, 'does not lead back to the root key')

  const signerOf = (certifier: number | null): Signer | undefined => {
    if (certifier === null) return root
    const device = trusted.get(certifier)
    return device && { author: device.device_id, verify_key: device.verify_key }
  }
  for (const kind of KINDS.filter(({ needs }) => measures[needs]))
    for await (const rows of reader.pages<Signed>(kind.query(organization), PAGE))
      for (const row of rows) {
        const signer = signerOf(row.certifier)
        if (!row.certificate) yield flaw(kind.table, row, 'there is no certificate')
        else if (!signer) yield flaw(kind.table, row, 'is by a device that is not trusted')
        else {
          const loaded = loadCertificate(kind.type, row.certificate, signer)
          if (!loaded.ok) yield flaw(kind.table, row, loaded.reason)
        }
      }
  if (facts!.authority_certificate) yield* checkSequester(reader, organization, facts!, root)
  if (measures['shamir_recovery']) yield* checkRecovery(reader, organization, trusted)
}

async function* checkSequester(
  reader: BulkSession,
  organization: number,
  { authority_certificate, authority_key }: Facts,
  root: Signer,
): AsyncGenerator<Found> {
  const authority = { _id: organization, name: 'sequester authority' }
  if (!authority_certificate) return
  const loaded = loadCertificate('sequester_authority_certificate', authority_certificate, root)
  if (!loaded.ok) yield flaw('organization', authority, loaded.reason)
  const key = authority_key && publicKeyFromDer(authority_key)
  if (!key) return yield flaw('organization', authority, 'its key cannot be read')
  const query = `SELECT _id, service_label::text AS name, service_certificate AS certificate FROM sequester_service WHERE organization = ${organization}`
  for await (const rows of reader.pages<{ _id: number; name: string; certificate: Buffer }>(query, PAGE))
    for (const row of rows)
      if (!loadServiceCertificate(key, row.certificate)) yield flaw('sequester_service', row, 'is not by the authority')
}

/** Briefs and shares name their author themselves: the setup knows the user only. */
async function* checkRecovery(
  reader: BulkSession,
  organization: number,
  trusted: ReadonlyMap<number, TrustedDevice>,
): AsyncGenerator<Found> {
  const keys = new Map([...trusted.values()].map(({ device_id, verify_key }) => [device_id as string, verify_key]))
  const kinds = [
    [
      'shamir_recovery_brief_certificate',
      'shamir_recovery_setup',
      `SELECT setup._id, user_id::text AS name, brief_certificate AS certificate
       FROM shamir_recovery_setup setup JOIN user_ ON user_._id = setup.user_ WHERE setup.organization = ${organization}`,
    ],
    [
      'shamir_recovery_share_certificate',
      'shamir_recovery_share',
      `SELECT share._id, user_id::text AS name, share_certificate AS certificate
       FROM shamir_recovery_share share JOIN shamir_recovery_setup setup ON setup._id = share.shamir_recovery
       JOIN user_ ON user_._id = setup.user_ WHERE setup.organization = ${organization}`,
    ],
  ] as const
  for (const [type, table, query] of kinds)
    for await (const rows of reader.pages<{ _id: number; name: string; certificate: Buffer }>(query, PAGE))
      for (const row of rows) {
        const author = claimedAuthor(row.certificate)
        const verify_key = author ? keys.get(author) : undefined
        if (!author || !verify_key) yield flaw(table, row, 'is by nobody who is trusted')
        else if (!author.startsWith(`${row.name}@`)) yield flaw(table, row, 'is not by its user')
        else {
          const loaded = loadCertificate(type, row.certificate, { author, verify_key })
          if (!loaded.ok) yield flaw(table, row, loaded.reason)
        }
      }
}

const flaw = (table: string, { _id, name }: { _id: number; name: string }, why: string): Found => ({
  kind: 'certificate',
  table,
  row: `${name} (_id ${_id})`,
  why,
})
