/**
 * A NATS cluster of three, each process at another member: members are killed, stopped and slow, the routes between
 * them are cut. Whatever becomes of them, nothing acknowledged is lost, every command is answered or closed in time, and
 * no event is missed on a connection that stays open.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { NatsCluster } from '../harness/own-nats.ts'
import { type Befall, randomizedRun } from './random/run.ts'

const SECONDS = Number(process.env['NATS_SECONDS'] ?? 12)

test('members are killed, stopped and slow, routes are cut: nothing is lost in silence', {
  timeout: SECONDS * 1_000 + 240_000,
}, async t => {
  const nats = await NatsCluster.start(3)
  const faults: { readonly [name: string]: (member: NatsCluster['members'][number]) => Promise<unknown> } = {
    async killed(member) {
      await member.kill()
      await pause(1_000)
      await member.up()
    },
    async stopped(member) {
      member.freeze()
      await pause(1_500)
      member.thaw()
    },
    async slow(member) {
      nats.slow(member, 200)
      await pause(1_500)
      nats.join()
    },
    async divided() {
      nats.divide('reset')
      await pause(1_500)
      nats.join()
    },
    async 'divided without a word'() {
      nats.divide('silent')
      await pause(1_500)
      nats.join()
    },
  }
  const befall: Befall = async (cluster, random, over) => {
    const done: string[] = []
    const names = Object.keys(faults)
    for (let i = 0; i < names.length || !over.aborted; i++) {
      await pause(1_000)
      const name = names[i % names.length]!
      done.push(name)
      await faults[name]!(nats.members[Math.floor(random() * nats.members.length)]!)
      for (const process of cluster.processes.values())
        assert.ok(process.isRunning, `${process.name} ended after "${name}":\n${process.output}`)
    }
    return done
  }
  const report = await randomizedRun({ seconds: SECONDS, seed: 7, befall, launch: { topology: 'twins', nats } })
  t.diagnostic(`${report.faults.join(', ')}; ${JSON.stringify(report.outcomes)}`)
  assert.deepEqual(report.violations, [])
})
