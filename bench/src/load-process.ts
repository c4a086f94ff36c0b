/** Entry of a load process: runs the jobs that its parent asks for. */
import { type Job, runJob } from './load.ts'
import { serveTasks } from './tasks.ts'

serveTasks<Job>(runJob)
