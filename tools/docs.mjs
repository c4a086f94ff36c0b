/** Writes the generated pages of docs/. */
import { writeFileSync } from 'node:fs'
import { configurationPage } from '../cli/src/configuration-page.ts'
import { limitsPage } from '../libs/shared/src/limits-page.ts'
import { commandsPage } from '../libs/shared/src/protocol/commands-page.ts'
import { architecturePage } from './rooms.mjs'

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationPage())
writeFileSync(new URL('../docs/commands.md', import.meta.url), commandsPage())
writeFileSync(new URL('../docs/limits.md', import.meta.url), limitsPage())
writeFileSync(new URL('../docs/architecture.md', import.meta.url), architecturePage())
