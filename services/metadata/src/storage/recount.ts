/**
 * What an organization has, counted from its rows: figures that are otherwise kept where they change (migration
 * `0008_growth`). For whoever writes rows in bulk, in the same transaction, before anybody else sees the organization.
 */

/** Statements in their order; `$1` is the organization. */
export const RECOUNTS: readonly string[] = [
  // Logs of other servers have gaps, and may tell of a version twice: it counts once.
  `UPDATE realm SET vlobs_size = written.size, gaps = realm.checkpoint - written.versions
   FROM (
     SELECT realm._id AS realm, coalesce(sum(version.size), 0) AS size, count(version.vlob) AS versions
     FROM realm LEFT JOIN (
       SELECT realm, vlob, max(size) AS size FROM realm_change
       WHERE realm IN (SELECT _id FROM realm WHERE organization = $1) GROUP BY realm, vlob, version
     ) version ON version.realm = realm._id
     WHERE realm.organization = $1 GROUP BY 1
   ) written WHERE written.realm = realm._id`,
  `UPDATE realm SET copies_size = stored.size - vlobs_size
   FROM (
     SELECT vlob.realm, sum(atom.size) AS size
     FROM realm JOIN vlob ON vlob.realm = realm._id JOIN vlob_atom atom ON atom.vlob = vlob._id
     WHERE realm.organization = $1 AND realm.encryption_revision > 1 GROUP BY vlob.realm
   ) stored WHERE stored.realm = realm._id`,
  // Other servers let a version be written that the re-encryption under way did not have: it is as good as a gap.
  // `OFFSET 0`: by the whole key, whatever the planner believes of the number of versions.
  `UPDATE realm SET gaps = checkpoint - work.readable, reencrypted = work.reencrypted,
     reencrypted_up_to = coalesce(work.first - 1, checkpoint)
   FROM (
     SELECT again.realm, count(readable.vlob) AS readable, count(copy.vlob) AS reencrypted,
       min(version.index) FILTER (WHERE readable.vlob IS NOT NULL AND copy.vlob IS NULL) AS first
     FROM (
       SELECT _id AS realm, encryption_revision - (maintenance_type IS NOT DISTINCT FROM 'REENCRYPTION')::int AS revision
       FROM realm WHERE organization = $1 AND encryption_revision > 1
     ) again
     JOIN (
       SELECT realm, vlob, version, min(index) AS index FROM realm_change
       WHERE realm IN (SELECT _id FROM realm WHERE organization = $1 AND encryption_revision > 1)
       GROUP BY realm, vlob, version
     ) version USING (realm)
     LEFT JOIN LATERAL (
       SELECT vlob FROM vlob_atom atom
       WHERE atom.vlob = version.vlob AND atom.encryption_revision = again.revision AND atom.version = version.version
       OFFSET 0
     ) readable ON TRUE
     LEFT JOIN LATERAL (
       SELECT vlob FROM vlob_atom atom
       WHERE atom.vlob = readable.vlob AND atom.encryption_revision = again.revision + 1 AND atom.version = version.version
       OFFSET 0
     ) copy ON TRUE
     GROUP BY again.realm
   ) work WHERE work.realm = realm._id`,
  `INSERT INTO realm_blocks (realm, slot, organization, size)
   SELECT realm, 0, organization, sum(size) FROM block WHERE organization = $1 AND deleted_on IS NULL
   GROUP BY realm, organization`,
  `INSERT INTO organization_users (organization, profile, active, revoked)
   SELECT organization, profile, count(*) FILTER (WHERE revoked_on IS NULL), count(*) FILTER (WHERE revoked_on IS NOT NULL)
   FROM user_ WHERE organization = $1 GROUP BY organization, profile`,
  `INSERT INTO early_version (organization, realm, size, created_on)
   SELECT vlob.organization, vlob.realm, atom.size, atom.created_on FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id
   WHERE vlob.organization = $1 AND vlob.timestamp > now() AND atom.created_on > now()`,
  `INSERT INTO organization_tally (organization, realms, metadata_size, data_size)
   SELECT $1, count(*), coalesce(sum(vlobs_size + copies_size), 0),
     (SELECT coalesce(sum(size), 0) FROM realm_blocks WHERE organization = $1)
   FROM realm WHERE organization = $1`,
  'UPDATE realm SET tallied_size = vlobs_size + copies_size, is_untallied = FALSE WHERE organization = $1',
  'UPDATE realm_blocks SET tallied_size = size, is_untallied = FALSE WHERE organization = $1',
]

/** Begins the exchange of each invitation anew: it is between two connections of a server. */
export const CONDUITS = `
  INSERT INTO conduit (invitation, greeter)
  SELECT _id, greeter FROM invitation WHERE organization = $1 AND type <> 'SHAMIR_RECOVERY'
  UNION ALL
  SELECT invitation._id, share.recipient FROM invitation
  JOIN shamir_recovery_share share ON share.shamir_recovery = invitation.shamir_recovery
  WHERE invitation.organization = $1 AND invitation.type = 'SHAMIR_RECOVERY'`
