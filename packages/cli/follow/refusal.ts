/** Why the gateway refused the calls of a run, as its stored events tell: for runs that ended, or wait, because of it. */
import { AutovibeError, ERRORS, isErrorCode, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import { plain } from '../render/text.ts'

/** More refusals of one run tell nothing new. */
const LOOKED_AT = 100

/** The newest refusal, with what to do about it; null when there was none, or none that this version knows. */
export async function lastRefusal(client: Autovibe, run: Run, options: CallOptions): Promise<AutovibeError | null> {
  const { items } = await client.eventPage({ run: run.id, after: '0-0', types: ['gateway.call_refused', 'gateway.upstream_down'], limit: LOOKED_AT }, options)
  const data = items.at(-1)?.data
  const code = data?.['code']
  if (typeof code !== 'string' || !isErrorCode(code)) return null
  const text = (name: string) => (typeof data?.[name] === 'string' ? plain(data[name]) : undefined)
  return new AutovibeError(code, text('message') ?? text('detail') ?? ERRORS[code].title, { fix: text('fix') })
}
