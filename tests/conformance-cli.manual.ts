/**
 * The conformance suite of the command line. It starts several hundred servers one after another and takes longer than
 * all other tests together: `node --conditions=development --test tests/conformance-cli.manual.ts`.
 */
import { cliConformance } from './harness/conformance.ts'

await cliConformance()
