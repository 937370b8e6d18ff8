/** The answers of the provider of the race, on the Anthropic wire. */
import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { CallPlan } from './plan.ts'
import type { Bill, Work } from './provider-bill.ts'

const STATUS_ERRORS = { '429': 'rate_limit_error', '500': 'api_error', '529': 'overloaded_error' } as const
/** Figures that no program should write, and some do. A count of cached tokens may be absent or null: then there are none. */
const BROKEN = [-1, 1.5, '12', 1e300, {}, []]
const BROKEN_OR_ABSENT = [...BROKEN, undefined, null]

/** Refuses a call that it does no work for. */
export async function refuse(plan: CallPlan, res: ServerResponse): Promise<void> {
  await delay(plan.thinkMs)
  if (plan.provider === 'refuses in the stream') {
    openStream(res).end(sse({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }))
    return
  }
  const status = plan.provider as keyof typeof STATUS_ERRORS
  sendJson(res, { type: 'error', error: { type: STATUS_ERRORS[status], message: 'not now' } }, Number(status))
}

/** Answers a call that is billed, well or badly, all but its end: the answer is what ends it. */
export async function answerCall(plan: CallPlan, bill: Bill, work: Work, res: ServerResponse): Promise<() => void> {
  await delay(plan.thinkMs)
  if (plan.provider === 'breaks before the answer') return () => res.destroy()
  if (plan.stream) return stream(plan, bill, work, res)
  const isBroken = plan.provider === 'tells broken figures'
  if (isBroken && plan.chance() < 0.2) return () => sendText(res, '{"id": "msg_')
  const figures = isBroken ? broken(plan, figuresOf(work)) : figuresOf(work)
  return () => sendJson(res, messageOf(plan, bill, figures, [{ type: 'text', text: 'done' }]))
}

async function stream(plan: CallPlan, bill: Bill, work: Work, res: ServerResponse): Promise<() => void> {
  const does = plan.provider
  const say = (event: Event) => res.write(sse(event))
  const { output_tokens, ...input } = figuresOf(work)
  const isBroken = does === 'tells broken figures'
  const breaksStart = isBroken && plan.chance() < 0.5
  openStream(res).flushHeaders()
  if (does === 'breaks before the figures') return () => res.destroy()
  const started = { ...input, output_tokens: 1 }
  say({ type: 'message_start', message: messageOf(plan, bill, breaksStart ? broken(plan, started) : started, []) })
  for (let piece = 0; piece < 3; piece++) {
    say({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'word '.repeat(8) } })
    await delay(plan.thinkMs / 3)
  }
  if (does === 'breaks after the input figures') return () => res.destroy()
  if (does === 'ends without the output figures') return () => res.end()
  if (does === 'fails in the stream') return () => res.end(sse({ type: 'error', error: { type: 'api_error', message: 'Internal server error' } }))
  const usage = isBroken && !breaksStart ? broken(plan, { output_tokens }) : { output_tokens }
  say({ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage })
  if (does !== 'breaks after the figures') return () => res.end(sse({ type: 'message_stop' }))
  await delay(1)
  return () => res.destroy()
}

/** The figures as the wire writes them. */
function figuresOf({ tokens, inRegion }: Work) {
  return {
    input_tokens: tokens.input,
    cache_read_input_tokens: tokens.cacheRead,
    cache_creation_input_tokens: tokens.cacheWrite5m + tokens.cacheWrite1h,
    cache_creation: { ephemeral_5m_input_tokens: tokens.cacheWrite5m, ephemeral_1h_input_tokens: tokens.cacheWrite1h },
    inference_geo: inRegion ? 'us' : 'global',
    output_tokens: tokens.output,
  }
}

/** The same with one count that is none. */
function broken(plan: CallPlan, figures: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const counts = Object.keys(figures).filter((name) => name.endsWith('_tokens'))
  const name = pick(plan, counts) ?? ''
  return { ...figures, [name]: pick<unknown>(plan, name.startsWith('cache_') ? BROKEN : BROKEN_OR_ABSENT) }
}

const pick = <T>({ chance }: CallPlan, list: readonly T[]): T | undefined => list[Math.floor(chance() * list.length)]

const messageOf = (plan: CallPlan, bill: Bill, usage: unknown, content: readonly unknown[]) => ({
  id: bill.messageId,
  type: 'message',
  role: 'assistant',
  model: plan.model,
  content,
  stop_reason: content.length > 0 ? 'end_turn' : null,
  stop_sequence: null,
  usage,
})
type Event = { readonly type: string } & Readonly<Record<string, unknown>>
const sse = (event: Event): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
const openStream = (res: ServerResponse): ServerResponse => res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
const sendText = (res: ServerResponse, text: string, status = 200): void => void res.writeHead(status, { 'content-type': 'application/json' }).end(text)
const sendJson = (res: ServerResponse, body: unknown, status = 200): void => sendText(res, JSON.stringify(body), status)
