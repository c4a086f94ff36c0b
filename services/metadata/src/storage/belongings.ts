/**
 * Tables of which an organization consists: which rows are its own, which columns name rows of other tables. Exports,
 * imports of archives and deletions go by it; `belongings.test.ts` sees to it that no table is missing.
 */

type Belonging = {
  readonly table: string
  /** What selects the rows of the organization `$organization`, whose name is `$name`. */
  readonly where: string
  /** Column → table whose `_id` it holds. */
  readonly refs: { readonly [column: string]: string }
  /** Columns that are not taken: they speak of the store or of this server, or are counted anew. */
  readonly without?: readonly string[]
}

const OWN = 'organization = $organization'
const IN_REALM = 'realm IN (SELECT _id FROM realm WHERE organization = $organization)'
const OF_VLOB = 'vlob IN (SELECT _id FROM vlob WHERE organization = $organization)'
const OF_SERVICE = 'service IN (SELECT _id FROM sequester_service WHERE organization = $organization)'
const organization = 'organization'

/** In an order that respects references, but for certifiers and the recovery of a user. */
export const BELONGINGS: readonly Belonging[] = [
  { table: 'organization', where: '_id = $organization', refs: {}, without: ['deletion_code'] },
  { table: 'human', where: OWN, refs: { organization } },
  {
    table: 'user_',
    where: OWN,
    refs: {
      organization,
      human: 'human',
      user_certifier: 'device',
      revoked_user_certifier: 'device',
      shamir_recovery: 'shamir_recovery',
    },
  },
  { table: 'device', where: OWN, refs: { organization, user_: 'user_', device_certifier: 'device' } },
  { table: 'realm', where: OWN, refs: { organization }, without: ['gaps'] },
  { table: 'realm_user', where: IN_REALM, refs: { realm: 'realm', user_: 'user_' } },
  { table: 'realm_role', where: IN_REALM, refs: { realm: 'realm', user_: 'user_', certifier: 'device' } },
  { table: 'realm_archiving', where: IN_REALM, refs: { realm: 'realm', certifier: 'device' } },
  { table: 'vlob', where: OWN, refs: { organization, realm: 'realm' } },
  { table: 'vlob_atom', where: OF_VLOB, refs: { vlob: 'vlob', author: 'device' } },
  { table: 'realm_change', where: IN_REALM, refs: { realm: 'realm', vlob: 'vlob' } },
  {
    table: 'block',
    where: OWN,
    refs: { organization, realm: 'realm', author: 'device' },
    without: ['missed_nodes'],
  },
  {
    table: 'message',
    where: 'recipient IN (SELECT _id FROM user_ WHERE organization = $organization)',
    refs: { recipient: 'user_' },
  },
  { table: 'shamir_recovery', where: OWN, refs: { organization, user_: 'user_' } },
  {
    table: 'shamir_recovery_share',
    where: 'shamir_recovery IN (SELECT _id FROM shamir_recovery WHERE organization = $organization)',
    refs: { shamir_recovery: 'shamir_recovery', recipient: 'user_' },
  },
  { table: 'invitation', where: OWN, refs: { organization, greeter: 'user_', shamir_recovery: 'shamir_recovery' } },
  { table: 'legacy_invitation', where: OWN, refs: { organization, creator: 'device' } },
  { table: 'pki_enrollment', where: OWN, refs: { organization, accepter: 'device', accepted: 'device' } },
  { table: 'sequester_service', where: OWN, refs: { organization } },
  { table: 'sequester_blob', where: OF_SERVICE, refs: { service: 'sequester_service', vlob: 'vlob' } },
]

/** Tables with rows of an organization that are not in an archive: they are made anew, or live for a moment. */
export const MADE_ANEW: { readonly [table: string]: string } = {
  conduit: 'invitation IN (SELECT _id FROM invitation WHERE organization = $organization)',
  invitation_claimer: 'invitation IN (SELECT _id FROM invitation WHERE organization = $organization)',
  block_upload: OWN,
  realm_blocks: OWN,
  organization_tally: OWN,
  organization_users: OWN,
  early_version: OWN,
  device_seen: OWN,
  import_record: "organization_id = '$name'",
  block_data: "organization_id = '$name'",
}

export const selection = (where: string, { key, name }: { key: number; name: string }): string =>
  where.replaceAll('$organization', String(key)).replaceAll('$name', name)
