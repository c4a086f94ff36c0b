/** Writes what is made of the Helm chart: the plain manifests, and the table of values in its README. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { generatedFiles } from '../tests/packaging/chart.ts'

mkdirSync(new URL('../k8s/manifests', import.meta.url), { recursive: true })
for (const [file, content] of await generatedFiles()) writeFileSync(new URL(`../${file}`, import.meta.url), content)
