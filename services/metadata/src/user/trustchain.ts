/**
 * The certificates that a client needs to trust others, up to the root key (spec 03 §4.1): the closure over certifiers, as
 * pieces of a statement. Before them stand two tables of its own: `viewer (redacted)`, what may be seen of names, and
 * `seed (certifier)`, the devices to begin with.
 *
 * Each step looks rows up by key (`OFFSET 0`): joined as a whole, devices and users of all organizations would be read.
 */
import { fragment } from '@parsec/shared/postgres/sql'

/** Tables of a `WITH RECURSIVE`. UNION drops repetitions, so cycles end. */
export const CHAIN = fragment`
  chain (device) AS (
    SELECT certifier FROM seed WHERE certifier IS NOT NULL
    UNION
    SELECT link.certifier FROM chain
    CROSS JOIN LATERAL (SELECT user_, device_certifier FROM device WHERE _id = chain.device OFFSET 0) device
    CROSS JOIN LATERAL (SELECT user_certifier, revoked_user_certifier FROM user_ WHERE _id = device.user_ OFFSET 0) user_
    CROSS JOIN LATERAL (VALUES (device.device_certifier), (user_.user_certifier), (user_.revoked_user_certifier)) link (certifier)
    WHERE link.certifier IS NOT NULL
  ), chain_device AS (
    SELECT device.* FROM chain CROSS JOIN LATERAL (SELECT * FROM device WHERE _id = chain.device OFFSET 0) device
  ), chain_user AS (
    SELECT user_.* FROM (SELECT DISTINCT user_ FROM chain_device) certifier
    CROSS JOIN LATERAL (SELECT * FROM user_ WHERE _id = certifier.user_ OFFSET 0) user_
  )`

/** Columns: `Trustchain`. */
export const TRUSTCHAIN = fragment`
  ARRAY(SELECT CASE WHEN redacted THEN redacted_device_certificate ELSE device_certificate END
    FROM viewer, chain_device ORDER BY _id) AS devices,
  ARRAY(SELECT CASE WHEN redacted THEN redacted_user_certificate ELSE user_certificate END
    FROM viewer, chain_user ORDER BY _id) AS users,
  ARRAY(SELECT revoked_user_certificate FROM chain_user WHERE revoked_user_certificate IS NOT NULL ORDER BY _id) AS revoked_users`
