/** How a process learns that it is one of several workers: from a variable that the one that started it has set. */
import { OperatorError } from '@parsec/shared/errors'

/** Which worker this is, of how many, and the port that they share. */
export type WorkerPlace = { readonly number: number; readonly of: number; readonly port: number }

const PLACE = 'PARSEC_WORKER'

/** Variables of the process that takes the place. */
export const placeVariables = ({ number, of, port }: WorkerPlace): { [name: string]: string } => ({
  [PLACE]: `${number}/${of}:${port}`,
})
/** Null for a process that nobody started as a worker. */
export function placeOf(environment: { readonly [name: string]: string | undefined }): WorkerPlace | null {
  const text = environment[PLACE]
  if (!text) return null
  const match = /^(\d+)\/(\d+):(\d+)$/.exec(text)
  if (!match) throw new OperatorError(`${PLACE} is set by the server for its workers, and by nobody else`)
  const [number, of, port] = match.slice(1).map(Number)
  return { number: number!, of: of!, port: port! }
}
