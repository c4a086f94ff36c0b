/** The receiving end of `Worker` in `processes.ts`. */
import type { Answer, Task } from './processes.ts'

/** Answers every task of the parent with what `work` returns; ends with the parent. */
export function serveTasks<Input>(work: (input: Input) => Promise<unknown>): void {
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.on('message', async ({ id, input }: Task<Input>) => {
    const answer: Answer = await work(input).then(
      output => ({ id, output }),
      error => ({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
    process.send!(answer)
  })
}
