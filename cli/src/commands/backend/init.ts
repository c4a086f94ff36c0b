/** `parsec backend init`: the name of `migrate` in older releases. */
import { Migrate, migrateSpec } from './migrate.ts'

export class Init extends Migrate {
  static override summary = 'The older name of migrate.'
  static override hidden = true
  protected override readonly spec = { ...migrateSpec, path: 'parsec backend init' }
}
