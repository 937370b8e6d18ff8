/** From what a reader found in a request to the facts of a call that may be made. */
import { AutovibeError } from '@autovibe/contract'

type Read<Facts> =
  | { readonly kind: 'ok'; readonly facts: Facts }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'unbounded'; readonly field: string }

/** The facts of a request that may be made; `request.invalid` or `model.unbounded` otherwise. */
export function factsOf<Facts>(read: Read<Facts>): Facts {
  if (read.kind === 'ok') return read.facts
  if (read.kind === 'invalid') throw new AutovibeError('request.invalid', `${read.message}.`)
  throw new AutovibeError('model.unbounded', `The cost of a call with ${read.field} has no upper bound.`, { fix: `Leave out ${read.field}.` })
}
