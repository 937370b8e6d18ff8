/** The agent's own queue against the real door: what a limit refuses for now arrives later, each event once. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Door } from '../../agent/door/door.ts'
import { EventQueue } from '../../agent/door/event-queue.ts'
import { type DoorAnswer, type DoorRequest, DoorWire } from '../../agent/door/wire.ts'
import { systemRuntime } from '../runtime.ts'
import { openDoorGround } from './testing.ts'

const EVENTS = 420
const LONG = 'x'.repeat(60_000)
/** The door's time stands still but for a step at each refusal, so that the limit is reached however slow the host is, and then passes. */
const STEP_MS = 2000
let nowMs = Date.now()
const ground = await openDoorGround({ ...systemRuntime, now: () => new Date(nowMs) })
after(() => ground.close())

class WatchedWire extends DoorWire {
  readonly statuses: number[] = []
  override async send(ask: DoorRequest): Promise<DoorAnswer> {
    const answer = await super.send(ask)
    this.statuses.push(answer.status)
    if (answer.status === 429) nowMs += STEP_MS
    return answer
  }
}

test('an agent that tells more than the door lets through, and that the Hub does not know yet, loses nothing', async () => {
  const one = await ground.machine()
  const wire = new WatchedWire(one.socketPath, one.token)
  const queue = new EventQueue(new Door(wire, one.bootId))
  for (let n = 1; n <= EVENTS; n++) queue.push('run.message', one.runId, { n, text: LONG })
  await queue.drained()
  wire.close()
  assert.deepEqual([wire.statuses[0], wire.statuses[1]], [409, 200])
  assert.ok(wire.statuses.includes(429))
  const rows = await ground.database.db
    .selectFrom('events')
    .select('data')
    .where('run_id', '=', one.runId)
    .where('type', '=', 'run.message')
    .orderBy('seq')
    .execute()
  assert.deepEqual(
    rows.map(({ data }) => data['n']),
    Array.from({ length: EVENTS }, (_, i) => i + 1),
  )
})
