/** What a scenario is given, and gives. */
import type { Row } from '../report.ts'
import type { Deployment } from '../server.ts'
import type { Stage } from '../stage.ts'

export type Settings = {
  connections: number
  /** Milliseconds of each measurement, after `warmupMs`. */
  measureMs: number
  warmupMs: number
  rounds: number
  /** Connections held by the idle scenario. */
  idleConnections: number
}

export type Play = {
  stage: Stage
  settings: Settings
  /** For servers that a scenario starts itself. */
  nodeOptions: readonly string[]
  /** A server in one process, or one per service over NATS; kept between scenarios and shared by them. */
  oneProcess(): Promise<Deployment>
  split(): Promise<Deployment>
  /** A server in one process with these values of `--blockstore`; whoever asks for it stops it. */
  storingIn(stores: readonly string[]): Promise<Deployment>
}

export type Scenario = { name: string; about: string; run(play: Play): Promise<Row[]> }

/** Connections of the scan. */
export const SCAN = [1, 16, 64]
