import { openDatabase } from '@parsec/metadata/database'
import { sql } from '@parsec/shared/postgres'

const log: any = {
  warning: console.log,
  info() {},
  error: console.log,
  debug() {},
  critical() {},
  child() {
    return log
  },
}
const t = performance.now()
const { database: d, close } = await openDatabase(
  process.argv[2]
    ? {
        kind: 'POSTGRESQL',
        url: process.argv[2],
        minConnections: 1,
        maxConnections: 3,
        maxAttempts: 1,
        retryPauseSeconds: 1,
      }
    : { kind: 'MOCKED' },
  log,
)
console.log('open', performance.now() - t)
console.log(
  await d.all(sql`select now() as now, gen_random_uuid() as id, 5::bigint as n, ${Buffer.from('ab')}::bytea as b`),
)
console.log(
  await d.transaction(async tx => {
    void tx.run(sql`insert into outbox(subject, event) values ('a', ${Buffer.from('x')})`)
    return tx.one(sql`select count(*) as n from outbox`)
  }),
)
try {
  await d.transaction(async tx => {
    void tx.run(sql`insert into organization(organization_id) values ('a')`)
    return 1
  })
} catch (e) {
  console.log('err', (e as Error).message)
}
console.log(
  await Promise.all(
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(() =>
      d.transaction(
        async tx =>
          (await tx.one<any>(sql`insert into outbox(subject, event) values ('a', ${Buffer.from('x')}) returning _id`))
            ._id,
      ),
    ),
  ),
)
await close()
