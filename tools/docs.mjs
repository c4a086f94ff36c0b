/** Writes the generated pages of docs/. */
import { writeFileSync } from 'node:fs'
import { configurationPage } from '../cli/src/docs.ts'

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationPage())
