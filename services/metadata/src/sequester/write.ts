/** What a vlob write owes to sequester services (spec 05 §14.3): checks before any look at the realm, blobs with the version. */
import type { Budget } from '@parsec/shared/budget'
import type { Log } from '@parsec/shared/log'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { keepServices } from '../organization/lock.ts'
import { type EnabledService, matchServices, notSequestered, type SequesterBlobs, type ServiceBlob } from './blobs.ts'
import { webhookRefusal } from './webhook.ts'

type Ctx = { db: Queryable; log: Log; context: AuthenticatedContext; budget: Budget }

/** Refuses a write, or lets webhooks refuse it. Outside sequestered organizations it asks nobody, and knows at once. */
export function sequesterRefusal(ctx: Ctx, sequester_blob: SequesterBlobs) {
  return ctx.context.is_sequestered ? askedRefusal(ctx, sequester_blob) : notSequestered(sequester_blob)
}
async function askedRefusal({ db, log, budget, context }: Ctx, sequester_blob: SequesterBlobs) {
  const matched = matchServices(await sequesterFacts(db, context.organization), sequester_blob)
  return matched.ok ? webhookRefusal(context.organization_id, matched.blobs, { log, budget }) : matched.refusal
}

/**
 * The same check inside the transaction: services may have changed while webhooks were asked, and may not change again
 * before the commit. Sent at once, so that it costs no round trip of its own when the caller does not wait for it.
 */
export async function keptServices(
  tx: Queryable,
  { context, sequester_blob }: { context: AuthenticatedContext; sequester_blob: SequesterBlobs },
) {
  if (!context.is_sequestered) return NO_SERVICES
  void keepServices(tx, context.organization)
  return matchServices(await sequesterFacts(tx, context.organization), sequester_blob)
}
/** Those of an organization that is not sequestered. */
export const NO_SERVICES = { ok: true as const, blobs: [] }

/** Keeps the blobs of STORAGE services with their version. */
export function storeBlobs(tx: Queryable, vlob: number, version: number, blobs: readonly ServiceBlob[]): void {
  const stored = blobs.filter(({ service }) => service.type === 'STORAGE')
  if (stored.length === 0) return
  void tx.run(sql`
    INSERT INTO sequester_blob (service, vlob, version, blob)
    SELECT item.service, ${vlob}, ${version}, item.blob
    FROM unnest(${stored.map(({ service }) => service.service)}::bigint[], ${stored.map(({ blob }) => blob)}::bytea[]) AS item (service, blob)
    ON CONFLICT (service, vlob, version) DO UPDATE SET blob = excluded.blob`)
}

/** Of a sequestered organization. */
async function sequesterFacts(db: Queryable, organization: number) {
  const rows = await db.all<
    { sequester_authority_certificate: Buffer } & (EnabledService | { [K in keyof EnabledService]: null })
  >(sql`
    SELECT organization.sequester_authority_certificate, service._id AS service, service.service_id,
      service.service_label, service.certificate, service.type, service.webhook_url
    FROM organization
    LEFT JOIN sequester_service service ON service.organization = organization._id AND service.disabled_on IS NULL
    WHERE organization._id = ${organization} ORDER BY service._id`)
  return {
    sequester_authority_certificate: rows[0]!.sequester_authority_certificate,
    services: rows.filter(row => row.service !== null),
  }
}
