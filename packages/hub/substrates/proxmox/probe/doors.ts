/** Each door by itself: whether it answers, with the certificate that is known, and of which version it is. */
import type { Finding } from '@autovibe/contract'
import { ProxmoxError } from '../client/errors.ts'
import type { ClientLimits } from '../client/limits.ts'
import { openClient, type ProxmoxCluster } from '../cluster.ts'
import { failed, looked, ok, warning } from './findings.ts'
import { setCommand } from './site.ts'

/** The privileges of the guest agent that we ask for came with 9. */
const OLDEST = 9
/** The newest whose description was read. */
const NEWEST = 9

export async function probeDoors(
  settings: ProxmoxCluster,
  limits: Partial<ClientLimits>,
  signal: AbortSignal,
): Promise<{ findings: Finding[]; opens: boolean }> {
  const each = await Promise.all(
    settings.config.doors.map(async (door) => {
      const client = openClient({ ...settings, config: { ...settings.config, doors: [door] } }, limits)
      try {
        return await looked('door', door.url, signal, async () => {
          const version = await client.call('GET /version', {}, { signal }).catch((error: unknown) => {
            // It answers; what is wrong with the token is told once, not for each door.
            if (error instanceof ProxmoxError && error.kind === 'credentials') return null
            throw error
          })
          return [version === null ? ok('door', door.url, 'It answers, and refuses the token.') : versionFinding(door.url, version.version)]
        })
      } finally {
        await client.close()
      }
    }),
  )
  const findings = each.flat()
  const opens = findings.some(({ status }) => status !== 'failed')
  return { opens, findings: findings.map((finding) => judged(settings, finding, opens)) }
}

function versionFinding(url: string, version: string): Finding {
  const major = Number(version.split('.')[0])
  const detail = `Proxmox VE ${version}`
  if (!(major >= OLDEST))
    return failed('door', url, `${detail}, and its guest agent has no privileges of its own before ${OLDEST}.`, 'Upgrade the cluster: pve8to9 --full')
  if (major > NEWEST)
    return warning('door', url, `${detail} is newer than any that this version of autovibe was made for (${NEWEST}).`, 'Look for a newer autovibe.')
  return ok('door', url, detail)
}

/** Another door that answers makes one that does not a lesser thing; a certificate that is not the known one never is. */
function judged(settings: ProxmoxCluster, finding: Finding, opens: boolean): Finding {
  if (finding.status !== 'failed') return finding
  if (/certificate/i.test(finding.detail)) return { ...finding, fix: fixOfCertificate(settings, finding.name) }
  return opens ? { ...finding, status: 'warning' } : finding
}

function fixOfCertificate(settings: ProxmoxCluster, url: string): string {
  const { doors } = settings.config
  // Fingerprints are given for all doors at once.
  const pins = doors.map((door) => (door.url === url ? 'SHA256' : (door.fingerprint ?? 'SHA256')))
  const change = doors.find((door) => door.url === url)?.fingerprint === null ? '--ca FILE' : `--fingerprint ${pins.join(' ')}`
  return `Read the certificate on the node itself (pvenode cert info); only if it was changed on purpose: ${setCommand(settings, change)}`
}
