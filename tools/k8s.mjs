/** Writes what is made of the Helm chart: the plain manifests, and the table of values in its README. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { generatedFiles } from '../tests/packaging/chart.ts'

for (const [file, content] of await generatedFiles()) {
  const path = new URL(`../${file}`, import.meta.url)
  mkdirSync(new URL('.', path), { recursive: true })
  writeFileSync(path, content)
}
