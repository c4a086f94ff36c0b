/** `parsec` as administrators type it, with server and token in the environment. */
import { execFile } from 'node:child_process'
import { NODE_ARGV } from '../harness/launch.ts'

export type Ended = { code: number; out: string; err: string }

/** `words`: what stands behind `parsec`. */
export const parsec = (url: string, token: string, ...words: readonly string[]): Promise<Ended> =>
  new Promise(resolve => {
    const env = { PATH: process.env.PATH, PARSEC_ADMIN_SERVER: url, PARSEC_ADMINISTRATION_TOKEN: token }
    execFile(process.execPath, [...NODE_ARGV, ...words], { env, maxBuffer: 2 ** 26 }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err }),
    )
  })
