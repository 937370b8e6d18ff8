/** Why a backup of Proxmox failed: its task ends with "job errors", and only its log says what was wrong. */
import { oneLine, saysLocked } from './failures.ts'

export interface BackupFailure {
  /** `locked`: it may pass. */
  readonly kind: 'locked' | 'full' | 'protected' | 'other'
  readonly words: string
}

const REASON = /^ERROR: Backup of VM \d+ failed - (.+)$/
const FULL = /\bno space left on device\b|\bdisk quota exceeded\b|\bENOSPC\b|\bEDQUOT\b/i
const PROTECTED = /\bnumber of protected backups per guest is limited\b/i

export function backupFailure(end: string, log: readonly string[]): BackupFailure {
  const words = oneLine(log.map((line) => REASON.exec(line.trim())?.[1]).findLast((reason) => reason !== undefined) ?? end)
  const said = [end, ...log]
  if (said.some(saysLocked)) return { kind: 'locked', words }
  if (said.some((line) => FULL.test(line))) return { kind: 'full', words }
  return { kind: said.some((line) => PROTECTED.test(line)) ? 'protected' : 'other', words }
}
