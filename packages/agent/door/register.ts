/** Tells the Hub that this machine is up: the patient way, for a Hub that is away at the start or has forgotten this boot. */
import type { Registered, RegisterMachine } from '@autovibe/contract'
import { log, wordsOf } from '../log.ts'
import { AGENT_VERSION } from '../version.ts'
import { HUB_BACKOFF, waitBackoff } from './backoff.ts'
import { isRegistered } from './first-contact.ts'
import type { DoorWire } from './wire.ts'

/** Registers, however long the Hub is away. Ends only with an answer or with the signal's reason. */
export async function register(wire: DoorWire, bootId: string, signal?: AbortSignal): Promise<Registered> {
  for (let attempt = 0; ; attempt++) {
    const why = await tryOnce(wire, bootId, signal)
    if (typeof why !== 'string') return why
    // One line at the first failure and then ever more rarely: a Hub that is away for a day must not fill a disk.
    if ((attempt & (attempt + 1)) === 0) log('not registered yet', { attempt: attempt + 1, reason: why })
    await waitBackoff(HUB_BACKOFF, attempt, signal)
  }
}

async function tryOnce(wire: DoorWire, bootId: string, signal: AbortSignal | undefined): Promise<Registered | string> {
  const body: RegisterMachine = { boot_id: bootId, agent_version: AGENT_VERSION }
  try {
    const answer = await wire.send({ method: 'POST', path: '/door/register', body, timeoutMs: 10_000, signal })
    if (answer.status !== 200 && answer.status !== 201) return `status ${answer.status}: ${answer.body.toString('utf8', 0, 500)}`
    const registered: unknown = JSON.parse(answer.body.toString('utf8'))
    return isRegistered(registered) ? registered : 'the answer is not understood'
  } catch (error) {
    signal?.throwIfAborted()
    return wordsOf(error)
  }
}
