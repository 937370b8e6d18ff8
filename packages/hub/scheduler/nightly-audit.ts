/** The audit of the ledger at the first look of each day (UTC), which is in the night for a Hub that is always up. */
import type { EngineLog } from '../operations/engine/context.ts'
import type { Ports } from '../operations/ports.ts'

/** How often somebody looks whether the night has come. */
export const AUDIT_LOOK_EVERY_MS = 60 * 60 * 1000

/** Answers what is to be called on every look: it audits on the first of each day. */
export function nightlyAudit(
  { ledger, runtime }: { readonly ledger: Pick<Ports['ledger'], 'audit'>; readonly runtime: Ports['runtime'] },
  log: EngineLog,
): () => Promise<void> {
  let auditedOn = ''
  return async () => {
    const today = runtime.now().toISOString().slice(0, 10)
    if (today === auditedOn) return
    const { checked, findings, is_complete } = await ledger.audit()
    // Only now: one that failed is tried again at the next look.
    auditedOn = today
    if (findings.length === 0) log.info({ checked }, 'the ledger was audited, and agrees with itself')
    else log.error({ checked, findings, is_complete }, 'the ledger does not agree with itself')
  }
}
