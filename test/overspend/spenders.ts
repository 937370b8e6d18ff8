/** The spenders of the race: each makes one call after the other until all the calls are made, as its plan says. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { type CallPlan, planOf } from './plan.ts'
import type { Spot } from './world.ts'

export interface Outcome {
  readonly call: number
  /** Null when no answer came. */
  readonly status: number | null
  /** The answer came to its end, so the gateway has settled the call. */
  readonly ended: boolean
  /** What the gateway said that it had cost. */
  readonly saidNanoUsd: bigint | null
  /** The gateway's process that was there when it began. */
  readonly generation: number
  readonly clamped: boolean
}

export interface Race {
  readonly seed: number
  /** The number of the next call; undefined when all are made. */
  next(): number | undefined
  /** Resolves when a gateway answers; its generation. */
  gateway(): Promise<number>
  /** Resolves when limits may have been raised. */
  raised(): Promise<void>
}

/** Spends from one machine until the race is over. */
export async function spend(race: Race, spot: Spot, outcomes: Outcome[]): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  for (let call = race.next(); call !== undefined; call = race.next()) {
    const generation = await race.gateway()
    const outcome = await makeCall(planOf(race.seed, call), call, spot, agent)
    outcomes.push({ ...outcome, call, generation })
    if (outcome.status === 402) await race.raised()
  }
  agent.destroy()
}

type Seen = Omit<Outcome, 'call' | 'generation'>
const NOTHING: Seen = { status: null, ended: false, saidNanoUsd: null, clamped: false }

async function makeCall(plan: CallPlan, call: number, spot: Spot, agent: Agent): Promise<Seen> {
  const body = JSON.stringify({
    model: plan.model,
    max_tokens: plan.maxTokens,
    stream: plan.stream,
    metadata: { user_id: `${spot.runId} ${call}` },
    messages: [{ role: 'user', content: 'x'.repeat(plan.promptBytes) }],
  })
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-api-key': spot.token, 'anthropic-version': '2023-06-01' }
  const req = request({ agent, socketPath: spot.socketPath, method: 'POST', path: '/gateway/v1/messages', headers })
  const answered = new Promise<IncomingMessage | null>((resolve) => {
    req.once('response', resolve)
    req.once('error', () => resolve(null))
    req.once('close', () => resolve(null))
  })
  if (plan.client === 'leaves while it sends') {
    req.write(body.slice(0, body.length / 2), () => req.destroy())
  } else req.end(body)
  if (plan.client === 'leaves before the answer') void leave(req, plan.patienceMs)
  const response = await answered
  if (!response) return NOTHING
  if (plan.client === 'leaves in the answer') response.once('data', () => req.destroy())
  return read(response)
}

async function leave(req: ClientRequest, patienceMs: number): Promise<void> {
  await delay(patienceMs)
  req.destroy()
}

function read(response: IncomingMessage): Promise<Seen> {
  response.resume()
  const cost = response.headers['autovibe-cost']
  // Whether it broke off is known by `complete`.
  response.on('error', () => undefined)
  return new Promise((resolve) =>
    response.once('close', () =>
      resolve({
        status: response.statusCode ?? null,
        ended: response.complete,
        saidNanoUsd: typeof cost === 'string' ? BigInt(cost) : null,
        clamped: response.headers['autovibe-max-tokens'] !== undefined,
      }),
    ),
  )
}
