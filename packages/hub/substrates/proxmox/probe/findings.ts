/** Findings of a probe, and how an error of a look becomes one. */
import { AutovibeError, type Finding } from '@autovibe/contract'

const finding =
  (status: Finding['status']) =>
  (area: string, name: string, detail: string, fix: string | null = null): Finding => ({ area, name, status, detail, fix })

export const ok = finding('ok')
export const warning = finding('warning')
export const failed = finding('failed')

/** What a look came to: its findings, or the one that says why there was none. Only our own errors and the end of patience are findings. */
export async function looked(area: string, name: string, signal: AbortSignal, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof AutovibeError) return [failed(area, name, error.message, error.fix ?? null)]
    if (signal.aborted) return [failed(area, name, 'There was no answer in time.', 'Look whether the cluster is busy, and probe again.')]
    throw error
  }
}

/** `a, b and c`, of no more than are worth reading. */
export function listed(names: readonly string[], most = 8): string {
  const shown = names.slice(0, most)
  const rest = names.length - shown.length
  const all = rest > 0 ? [...shown, `${rest} more`] : shown
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`
}

const GIB = 1024 ** 3
export const gib = (bytes: number): string => `${(bytes / GIB).toFixed(bytes < 10 * GIB ? 1 : 0)} GiB`
