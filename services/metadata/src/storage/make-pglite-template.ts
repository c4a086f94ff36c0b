/** The program that makes the data folder which trials start from, unless that of this release is there already. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLog } from '@parsec/shared/log'
import { sql } from '@parsec/shared/postgres/sql'
import { openEmbedded } from './embedded.ts'
import { schemaDigest } from './migrations.ts'
import { servePglite } from './pglite.ts'
import { DIGEST_FILE, digestOf, TEMPLATE } from './pglite-template.ts'

async function makeTemplate(): Promise<void> {
  if (digestOf(TEMPLATE) === schemaDigest()) return
  const folder = mkdtempSync(`${TEMPLATE}-`)
  const data = join(folder, 'data')
  try {
    await fill(folder, data)
    letEverybodyRead(data)
    writeFileSync(join(data, DIGEST_FILE), schemaDigest())
    rmSync(TEMPLATE, { recursive: true, force: true })
    renameSync(data, TEMPLATE)
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!existsSync(TEMPLATE)) throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function fill(folder: string, data: string): Promise<void> {
  const close = await servePglite(folder, data)
  const database = await openEmbedded(folder, createLog({ level: 'WARNING', format: 'CONSOLE', file: null }))
  // Two thirds of the files, for databases that nobody will make.
  await database.run(sql`UPDATE pg_database SET datistemplate = FALSE`)
  await database.run(sql`DROP DATABASE template0`)
  await database.run(sql`DROP DATABASE template1`)
  await database.close()
  await close()
}

/** PostgreSQL keeps its files to itself; nothing in these is anybody's. */
function letEverybodyRead(folder: string): void {
  for (const name of ['.', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    const path = join(folder, name)
    chmodSync(path, statSync(path).isDirectory() ? 0o755 : 0o644)
  }
}

await makeTemplate()
