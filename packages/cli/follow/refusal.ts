/** Why the gateway refused the calls of a run, as its stored events tell: for runs that ended, or wait, because of it. */
import { AutovibeError, ERRORS, type Event, type EventType, isErrorCode, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import { plain } from '../render/text.ts'

const REFUSALS: readonly EventType[] = ['gateway.call_refused', 'gateway.upstream_down']
const PAGE = 1000
/** Events of a run that are looked through for the newest; beyond them the last that was seen is told. */
const PAGES_MAX = 50

/** The newest refusal, with what to do about it; null when there was none, or none that this version knows. */
export async function lastRefusal(client: Autovibe, run: Run, options: CallOptions): Promise<AutovibeError | null> {
  const data = (await lastOf(client, run, options))?.data
  const code = data?.['code']
  if (typeof code !== 'string' || !isErrorCode(code)) return null
  const text = (name: string) => (typeof data?.[name] === 'string' ? plain(data[name]) : undefined)
  return new AutovibeError(code, text('message') ?? text('detail') ?? ERRORS[code].title, { fix: text('fix') })
}

/** Pages go from the oldest event on. */
async function lastOf(client: Autovibe, run: Run, options: CallOptions): Promise<Event | undefined> {
  let last: Event | undefined
  let after: string | null = '0-0'
  for (let page = 0; page < PAGES_MAX && after !== null; page++) {
    const { items, next_cursor } = await client.eventPage({ run: run.id, after, types: REFUSALS, limit: PAGE }, options)
    last = items.at(-1) ?? last
    after = next_cursor
  }
  return last
}
