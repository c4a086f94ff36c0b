/** What all organizations have together, now and in samples of former hours. */
import { DateTime } from '@parsec/shared/codec/values'
import { FIGURES_EVERY_MS, FIGURES_MS } from '@parsec/shared/deadlines'
import type { Database } from '@parsec/shared/postgres/database'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { ServerFigures } from '@parsec/shared/protocol/administration'
import type { Deps } from '../context.ts'
import { TALLIED } from '../organization/tally.ts'
import { Periodic } from '../storage/periodic.ts'

export const serverFigures = async (db: Queryable, now: DateTime) =>
  (await db.one<ServerFigures & { bootstrapped: number; expired: number }>(sql`
    SELECT count(*) AS organizations, count(organization.root_verify_key) AS bootstrapped,
      count(*) FILTER (WHERE is_expired OR expiration_date <= ${now}) AS expired,
      coalesce(sum(people.active + people.revoked), 0)::bigint AS users,
      coalesce(sum(people.active), 0)::bigint AS active_users, coalesce(sum(tallied.realms), 0)::bigint AS realms,
      coalesce(sum(tallied.data_size), 0)::bigint AS data_size,
      coalesce(sum(tallied.metadata_size), 0)::bigint AS metadata_size
    FROM organization ${TALLIED} CROSS JOIN LATERAL (
      SELECT coalesce(sum(active), 0) AS active, coalesce(sum(revoked), 0) AS revoked
      FROM organization_users WHERE organization = organization._id
    ) people`))!

/** At most so many days are told hour by hour. */
const HOURLY_DAYS = 7

/** The last sample of each day, or of each hour. */
export const history = (db: Queryable, days: number) =>
  db.all<{ at: DateTime } & ServerFigures>(sql`
    SELECT hour AS at, organizations, users, active_users, realms, data_size, metadata_size FROM figures_sample
    WHERE hour > now() - make_interval(days => ${days}) AND (${days <= HOURLY_DAYS} OR hour IN (
      SELECT max(hour) FROM figures_sample WHERE hour > now() - make_interval(days => ${days})
      GROUP BY date_trunc('day', hour AT TIME ZONE 'UTC')
    ))
    ORDER BY hour`)

/** Writes a sample down unless this hour has one. */
export async function takeSample(db: Queryable, now: DateTime): Promise<void> {
  const hour = DateTime.of(now.second - (now.second % HOUR_SECONDS), 0)
  if (await db.one(sql`SELECT FROM figures_sample WHERE hour = ${hour}`)) return
  const { organizations, users, active_users, realms, data_size, metadata_size } = await serverFigures(db, now)
  await db.run(sql`
    INSERT INTO figures_sample (hour, organizations, users, active_users, realms, data_size, metadata_size)
    VALUES (${hour}, ${organizations}, ${users}, ${active_users}, ${realms}, ${data_size}, ${metadata_size})
    ON CONFLICT DO NOTHING`)
}
const HOUR_SECONDS = 3600

export const figuresSampling = (deps: Pick<Deps, 'log' | 'now'>, database: Database): Periodic =>
  new Periodic({
    name: 'figures',
    everyMs: FIGURES_EVERY_MS,
    deadlineMs: FIGURES_MS,
    log: deps.log,
    work: budget => takeSample(database.within(budget), deps.now()),
  })
