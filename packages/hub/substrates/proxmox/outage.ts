/** Why a cluster cannot be worked with just now, as people and operations are told. */
import { AutovibeError, asAutovibeError, type Finding } from '@autovibe/contract'

export interface Outage {
  readonly cluster: string
  /** Milliseconds since 1970. */
  readonly sinceMs: number
  /** Retryable: it may pass by itself. Otherwise a person must mend something first. */
  readonly error: AutovibeError
}

const isLate = (thrown: unknown): boolean => thrown instanceof DOMException && thrown.name === 'TimeoutError'

/** False for what is the Hub's own: its database, its files, a mistake in it. */
export const isOfCluster = (thrown: unknown): boolean => isLate(thrown) || (thrown instanceof AutovibeError && thrown.code.startsWith('substrate.'))

/** Whatever was thrown, as the error that an outage tells. */
export function causeOf(thrown: unknown): AutovibeError {
  if (isLate(thrown))
    return new AutovibeError('substrate.unavailable', 'Nothing answered in time.', {
      cause: thrown,
      fix: 'See whether the node is up, and reached from this host: autovibe substrate probe',
    })
  if (isOfCluster(thrown)) return asAutovibeError(thrown)
  const about = { cause: thrown, internal: String(thrown), fix: 'See what the Hub says of itself: autovibe doctor' }
  return new AutovibeError('substrate.unavailable', 'The Hub could not look up how it is reached.', about)
}

export function findingOf(outage: Outage): Finding {
  return { area: 'proxmox', name: outage.cluster, status: 'failed', detail: sentenceOf(outage), fix: fixOf(outage) }
}

export const refusalOf = (outage: Outage): AutovibeError =>
  new AutovibeError('substrate.away', sentenceOf(outage), { cause: outage.error, fix: fixOf(outage), retryable: outage.error.retryable })

function sentenceOf({ cluster, sinceMs, error }: Outage): string {
  const since = new Date(sinceMs).toISOString()
  return error.retryable
    ? `The cluster ${cluster} does not answer since ${since}: ${error.message} The Hub goes on asking.`
    : `The cluster ${cluster} cannot be worked with since ${since}: ${error.message} The Hub asks again every few minutes.`
}

const fixOf = ({ cluster, error }: Outage): string => error.fix ?? `autovibe substrate probe ${cluster}`
