/**
 * Whether every certificate of an organization loads and leads back to its root key (spec 07 §4), in the schema of the
 * original or in this server's; and what is compared of them when both are there.
 */
import { type CertificateType, loadCertificate, loadStored, type Signer } from '@parsec/shared/certificates/certificate'
import { claimedAuthor, type TrustedDevice, trustedDevices } from '@parsec/shared/certificates/device-chain'
import { loadServiceCertificate, publicKeyFromDer } from '@parsec/shared/certificates/sequester'
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Found } from './finding.ts'
import type { Place } from './measure.ts'
import type { Places } from './places.ts'

const PAGE = 500

/** How a schema calls what both have. */
export type Names = {
  readonly roles: string
  readonly certifier: string
  readonly authorityKey: string
  readonly serviceCertificate: string
  readonly setups: string
}
/** Of the source. */
export const namesAt = ({ roles }: Pick<Places, 'roles'>): Names => ({
  roles,
  certifier: 'certified_by',
  authorityKey: 'sequester_authority_verify_key_der',
  serviceCertificate: 'service_certificate',
  setups: 'shamir_recovery_setup',
})
export const OWN: Names = {
  roles: 'realm_role',
  certifier: 'certifier',
  authorityKey: 'sequester_verify_key_der',
  serviceCertificate: 'certificate',
  setups: 'shamir_recovery',
}

/** A certificate by a device, or by nobody who is named beside it (null): the root key, the authority. */
type Signed = { _id: number; name: string; certificate: Buffer | null; certifier: number | null }
/** `needs`: a table that has rows when this one has. */
type Kind = { table: string; needs: string; query: (organization: number, names: Names) => string }

const ofUsers =
  (certificate: string, certifier = 'user_certifier') =>
  (o: number) =>
    `SELECT _id, user_id::text AS name, ${certificate} AS certificate, ${certifier} AS certifier FROM user_ WHERE organization = ${o}`
const ofDevices = (certificate: string) => (o: number) =>
  `SELECT _id, device_id::text AS name, ${certificate} AS certificate, device_certifier AS certifier FROM device WHERE organization = ${o}`
const inRealms = (entries: string, certifier: string, o: number) =>
  `SELECT entry._id, replace(realm.realm_id::text, '-', '') AS name, entry.certificate, entry.${certifier} AS certifier
   FROM realm JOIN ${entries} entry ON entry.realm = realm._id WHERE realm.organization = ${o}`

const DEVICES: Kind = { table: 'device', needs: 'device', query: ofDevices('device_certificate') }
const SIGNED_BY_DEVICES: readonly (Kind & { type: CertificateType })[] = [
  { type: 'user_certificate', table: 'user_', needs: 'user_', query: ofUsers('user_certificate') },
  { type: 'user_certificate', table: 'user_ (redacted)', needs: 'user_', query: ofUsers('redacted_user_certificate') },
  {
    type: 'revoked_user_certificate',
    table: 'user_ (revoked)',
    needs: 'user_',
    query: o => `${ofUsers('revoked_user_certificate', 'revoked_user_certifier')(o)} AND revoked_on IS NOT NULL`,
  },
  {
    type: 'device_certificate',
    table: 'device (redacted)',
    needs: 'device',
    query: ofDevices('redacted_device_certificate'),
  },
  {
    type: 'realm_role_certificate',
    table: 'realm_user_role',
    needs: 'realm_role',
    query: (o, { roles, certifier }) => inRealms(roles, certifier, o),
  },
  {
    type: 'realm_archiving_certificate',
    table: 'realm_archiving',
    needs: 'realm_archiving',
    query: (o, { certifier }) => inRealms('realm_archiving', certifier, o),
  },
]
const SERVICES: Kind = {
  table: 'sequester_service',
  needs: 'sequester_service',
  query: (o, { serviceCertificate }) =>
    `SELECT _id, service_label::text AS name, ${serviceCertificate} AS certificate, NULL::int8 AS certifier
     FROM sequester_service WHERE organization = ${o}`,
}
/** Setups that were removed are nobody's business any more. */
const RECOVERIES: readonly (Kind & { type: CertificateType })[] = [
  {
    type: 'shamir_recovery_brief_certificate',
    table: 'shamir_recovery_setup',
    needs: 'shamir_recovery',
    query: (o, { setups }) =>
      `SELECT setup._id, user_id::text AS name, brief_certificate AS certificate, NULL::int8 AS certifier
       FROM ${setups} setup JOIN user_ ON user_._id = setup.user_
       WHERE setup.organization = ${o} AND setup.ciphered_data IS NOT NULL`,
  },
  {
    type: 'shamir_recovery_share_certificate',
    table: 'shamir_recovery_share',
    needs: 'shamir_recovery',
    query: (o, { setups }) =>
      `SELECT setup._id, user_id::text AS name, share_certificate AS certificate, NULL::int8 AS certifier
       FROM shamir_recovery_share share JOIN ${setups} setup ON setup._id = share.shamir_recovery
       JOIN user_ ON user_._id = setup.user_ WHERE setup.organization = ${o} AND setup.ciphered_data IS NOT NULL`,
  },
]
const EVERY_KIND: readonly Kind[] = [DEVICES, ...SIGNED_BY_DEVICES, SERVICES, ...RECOVERIES]

const kindsIn = <K extends Kind>(kinds: readonly K[], { measures }: Place): K[] =>
  kinds.filter(({ needs }) => measures[needs])

type Facts = { root_verify_key: Buffer | null; authority_certificate: Buffer | null; authority_key: Buffer | null }
async function factsOf(session: BulkSession, { organization, level }: Place, names: Names): Promise<Facts> {
  const authority =
    level >= 11
      ? `sequester_authority_certificate AS authority_certificate, ${names.authorityKey} AS authority_key`
      : 'NULL::bytea AS authority_certificate, NULL::bytea AS authority_key'
  const [facts] = await session.rows<Facts>(`SELECT root_verify_key, ${authority} FROM organization WHERE _id = $1`, [
    organization,
  ])
  return facts!
}

export async function* checkCertificates(session: BulkSession, place: Place, names: Names): AsyncGenerator<Found> {
  const facts = await factsOf(session, place, names)
  const { root_verify_key } = facts
  if (!root_verify_key) return
  const root: Signer = { author: null, verify_key: root_verify_key }
  const rowsOf = async function* (kind: Kind) {
    for await (const rows of session.pages<Signed>(kind.query(place.organization, names), PAGE)) yield* rows
  }

  const certificates = new Map<number, Buffer>()
  const devices = new Map<number, string>()
  for await (const { _id, name, certificate } of rowsOf(DEVICES)) {
    certificates.set(_id, certificate!)
    devices.set(_id, name)
  }
  const trusted = trustedDevices(certificates, root_verify_key)
  for (const [_id, name] of devices)
    if (name !== name.normalize('NFC'))
      yield flaw(DEVICES.table, { _id, name }, 'its name is not composed (NFC), as clients have sent it since v2.3')
    else if (trusted.get(_id)?.device_id !== name)
      yield flaw(DEVICES.table, { _id, name }, 'does not lead back to the root key')

  for (const kind of kindsIn(SIGNED_BY_DEVICES, place))
    for await (const row of rowsOf(kind)) {
      const signer = row.certifier === null ? root : signerOf(trusted.get(row.certifier))
      if (!row.certificate) yield flaw(kind.table, row, 'there is no certificate')
      else if (!signer) yield flaw(kind.table, row, 'is by a device that is not trusted')
      else {
        const loaded = loadStored(kind.type, row.certificate, signer)
        if (!loaded.ok) yield flaw(kind.table, row, loaded.reason)
      }
    }
  if (facts.authority_certificate) yield* checkSequester(rowsOf(SERVICES), facts, root, place.organization)
  const keys = new Map([...trusted.values()].map(({ device_id, verify_key }) => [device_id as string, verify_key]))
  for (const kind of kindsIn(RECOVERIES, place)) yield* checkRecovery(rowsOf(kind), kind, keys)
}
const signerOf = (device: TrustedDevice | undefined): Signer | undefined =>
  device && { author: device.device_id, verify_key: device.verify_key }

async function* checkSequester(
  services: AsyncIterable<Signed>,
  { authority_certificate, authority_key }: Facts,
  root: Signer,
  organization: number,
): AsyncGenerator<Found> {
  const authority = { _id: organization, name: 'sequester authority' }
  const loaded = loadCertificate('sequester_authority_certificate', authority_certificate!, root)
  if (!loaded.ok) yield flaw('organization', authority, loaded.reason)
  const key = authority_key && publicKeyFromDer(authority_key)
  if (!key) return yield flaw('organization', authority, 'its key cannot be read')
  for await (const row of services)
    if (!loadServiceCertificate(key, row.certificate!)) yield flaw(SERVICES.table, row, 'is not by the authority')
}

/** Briefs and shares name their author themselves: the setup knows the user only. `keys`: of trusted devices. */
async function* checkRecovery(
  rows: AsyncIterable<Signed>,
  { table, type }: (typeof RECOVERIES)[number],
  keys: ReadonlyMap<string, Buffer>,
): AsyncGenerator<Found> {
  for await (const row of rows) {
    const author = claimedAuthor(row.certificate!)
    const verify_key = author ? keys.get(author) : undefined
    if (!author || !verify_key) yield flaw(table, row, 'is by nobody who is trusted')
    else if (!author.startsWith(`${row.name}@`)) yield flaw(table, row, 'is not by its user')
    else {
      const loaded = loadCertificate(type, row.certificate!, { author, verify_key })
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

/** Digests of all certificates with whom they are of and by, by table: what must be the same in both databases. */
export async function certificateDigests(
  session: BulkSession,
  place: Place,
  names: Names,
): Promise<Map<string, string>> {
  const { root_verify_key, authority_certificate, authority_key } = await factsOf(session, place, names)
  const roots = [root_verify_key, authority_certificate, authority_key].map(bytes => bytes?.toString('hex') ?? '')
  const digests = new Map([['organization', roots.join(' ')]])
  for (const { table, query } of kindsIn(EVERY_KIND, place)) {
    const [row] = await session.rows<{ digest: string | null }>(
      `SELECT md5(string_agg(line, '' ORDER BY line COLLATE "C")) AS digest FROM (
         SELECT md5(concat_ws(' ', signed.name, certifier.device_id, md5(signed.certificate))) AS line
         FROM (${query(place.organization, names)}) signed LEFT JOIN device certifier ON certifier._id = signed.certifier
       ) lines`,
    )
    digests.set(table, row!.digest ?? '')
  }
  return digests
}
