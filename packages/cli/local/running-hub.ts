/** What `up` was given that a Hub which runs already cannot take: refused, so that nobody believes that it was done. */
import { AutovibeError, type Finding } from '@autovibe/contract'

export interface GivenToUp {
  readonly env: NodeJS.ProcessEnv
  /** The flag, which asks for this port; a variable or a file only says where a Hub would be started. */
  readonly port: string | undefined
  /** The address of the Hub that runs. */
  readonly url: string
  /** What that Hub says of itself. */
  readonly findings: readonly Finding[]
}

const KEY_BYTES = 32
const AGAIN = 'autovibe down, then again'

/** `hub.already_running` for another port or a rotation that was not made, `hub.master_key` for a key that is none. */
export function assertRunningHubTakes({ env, port, url, findings }: GivenToUp): void {
  const given = (name: string): boolean => (env[name] ?? '') !== ''
  const key = env['AUTOVIBE_MASTER_KEY'] ?? ''
  if (key !== '' && Buffer.from(key, 'base64').length !== KEY_BYTES)
    throw new AutovibeError(
      'hub.master_key',
      'The Hub already runs, and AUTOVIBE_MASTER_KEY does not hold a master key, so it was not started with this one.',
      {
        fix: 'Set it to the key of that Hub (the base64 of 32 bytes), or: unset AUTOVIBE_MASTER_KEY',
      },
    )
  // One that was started with a previous key says so as long as it runs.
  const wasRotated = findings.some(({ area, name, status }) => area === 'hub' && name === 'master key' && status === 'ok')
  const wantsRotation = given('AUTOVIBE_MASTER_KEY_PREVIOUS') || given('AUTOVIBE_MASTER_KEY_PREVIOUS_FILE')
  if (env['AUTOVIBE_ROTATE_MASTER_KEY'] === '1' || (wantsRotation && !wasRotated))
    throw new AutovibeError('hub.already_running', 'The Hub already runs and was not rotated.', { fix: AGAIN })
  const running = new URL(url).port
  if (port !== undefined && Number(port) !== 0 && port !== running)
    throw new AutovibeError('hub.already_running', `The Hub already runs, on port ${running} and not on ${port}.`, { fix: AGAIN })
}
