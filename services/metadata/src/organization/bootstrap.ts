/** The first user of an organization (spec 02 §3.1), over HTTP or API v1. */
import { createPublicKey } from 'node:crypto'
import { loadCertificate } from '@parsec/shared/certificates/certificate'
import type { DateTime } from '@parsec/shared/codec/values'
import { sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { AnonymousContext } from '@parsec/shared/protocol/context'
import { userOf } from '@parsec/shared/protocol/types'
import type { Deps } from '../context.ts'
import { transaction } from '../storage/transaction.ts'
import { loadNewUser, type NewUser, redactionRefusal } from '../user/certificates.ts'
import { enrollment, insertUser, tellUserCreated } from '../user/people.ts'
import { notifyBootstrap } from './bootstrap-webhook.ts'
import { lockPeopleOf } from './lock.ts'

export type Bootstrap = {
  bootstrap_token: string
  root_verify_key: Buffer
  user_certificate: Buffer
  device_certificate: Buffer
  /** Both or none: an API v1 client may send none. */
  redacted_user_certificate?: Buffer | undefined
  redacted_device_certificate?: Buffer | undefined
  sequester_authority_certificate: Buffer | null
}

/** Makes the first user of an organization, for good (spec 02 §3.1.2, in its order). */
export async function bootstrap(ctx: Deps & { context: AnonymousContext }, request: Bootstrap) {
  const { organization_id } = ctx.context
  const now = ctx.now()
  const checked = checkBootstrap(request, now)
  if (!checked.ok) return checked.refusal
  const { newUser, sequester_verify_key_der } = checked
  const reply = await transaction(ctx, organization_id, async tx => {
    void lockPeopleOf(tx, organization_id)
    const organization = await tx.one<{ organization: number; bootstrap_token: string; is_bootstrapped: boolean }>(sql`
      SELECT _id AS organization, bootstrap_token, root_verify_key IS NOT NULL AS is_bootstrapped
      FROM organization WHERE organization_id = ${organization_id}`)
    if (!organization) return { status: 'not_found' as const }
    if (organization.is_bootstrapped) return { status: 'already_bootstrapped' as const }
    if (organization.bootstrap_token !== request.bootstrap_token) return { status: 'not_found' as const }
    const facts = await enrollment(tx, organization.organization, newUser, now)
    if (facts.active_users_limit !== null && facts.active_users >= facts.active_users_limit)
      return { status: 'active_users_limit_reached' as const }
    void insertUser(tx, { organization: organization.organization, human: null, certifier: null, newUser })
    tellUserCreated(tx, newUser)
    void tx.run(sql`
      UPDATE organization SET root_verify_key = ${request.root_verify_key}, bootstrapped_on = ${now},
        sequester_authority_certificate = ${request.sequester_authority_certificate},
        sequester_verify_key_der = ${sequester_verify_key_der}
      WHERE _id = ${organization.organization}`)
    return { status: 'ok' as const }
  })
  if (reply.status === 'ok' && ctx.config.organizationBootstrapWebhook !== null)
    await notifyBootstrap(ctx.config.organizationBootstrapWebhook, organization_id, newUser, ctx)
  return reply
}

function checkBootstrap(request: Bootstrap, now: DateTime) {
  const { root_verify_key, user_certificate, device_certificate } = request
  const { redacted_user_certificate = user_certificate, redacted_device_certificate = device_certificate } = request
  const root = { author: null, verify_key: root_verify_key }
  const loaded = loadNewUser(
    { user_certificate, device_certificate, redacted_user_certificate, redacted_device_certificate },
    root,
  )
  if (!loaded.ok) return loaded
  const { user, device, redacted_user, redacted_device } = loaded
  if (user.profile !== 'ADMIN') return refuse('invalid_data', 'Bootstrapping user must have admin profile.')
  if (!user.timestamp.equals(device.timestamp))
    return refuse('invalid_data', 'Device and user certificates must have the same timestamp.')
  if (userOf(device.device_id) !== user.user_id)
    return refuse('invalid_data', 'Device and user must have the same user ID.')
  const late = badTimestamp(user.timestamp, now)
  if (late) return { ok: false as const, refusal: late }
  // Without redacted certificates the full ones are served as such: only an API v1 client may ask for that.
  const redaction = redactionRefusal(
    user,
    request.redacted_user_certificate ? redacted_user : { ...user, human_handle: null },
    device,
    request.redacted_device_certificate ? redacted_device : { ...device, device_label: null },
  )
  if (redaction) return redaction
  if (!request.redacted_user_certificate !== !request.redacted_device_certificate)
    return refuse('invalid_data', 'Redacted user&device certificate must be provided together')
  const newUser: NewUser = {
    user_certificate,
    device_certificate,
    redacted_user_certificate,
    redacted_device_certificate,
    user,
    device,
  }
  if (request.sequester_authority_certificate === null)
    return { ok: true as const, newUser, sequester_verify_key_der: null }
  const authority = loadCertificate('sequester_authority_certificate', request.sequester_authority_certificate, root)
  if (!authority.ok || !isRsaKey(authority.certificate.verify_key_der))
    return refuse('invalid_data', 'Invalid signature for sequester authority certificate')
  const lateAuthority = badTimestamp(authority.certificate.timestamp, now)
  if (lateAuthority) return { ok: false as const, refusal: lateAuthority }
  if (!authority.certificate.timestamp.equals(user.timestamp))
    return refuse('invalid_data', 'Device, user and sequester authority certificates must have the same timestamp.')
  return { ok: true as const, newUser, sequester_verify_key_der: authority.certificate.verify_key_der }
}

const refuse = <const S extends string>(status: S, reason: string) => ({
  ok: false as const,
  refusal: { status, reason },
})

function isRsaKey(der: Buffer): boolean {
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' }).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}
