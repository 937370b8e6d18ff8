/** What a Hub is told from outside: flags and environment, read once, checked, with secrets then taken out of the environment. */
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AutovibeError, CopyTier, IsolationTier } from '@autovibe/contract'
import { z } from 'zod'
import { readS3Config, type S3Config } from './checkpoints/backends/s3-config.ts'

export interface HubConfig {
  /** Everything that the Hub keeps. */
  readonly dataDir: string
  /** Loopback port of the API; 0 takes any free one. */
  readonly port: number
  /** An external PostgreSQL 15 (DATABASE_URL); null is the embedded one. */
  readonly databaseUrl: string | null
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug'
  /** Overrides for hosts where the best tier is not wanted; null takes the best. */
  readonly isolation: IsolationTier | null
  readonly copy: CopyTier | null
  /** Booted machines that may wait for a project at once (`--warm-machines`, AUTOVIBE_WARM_MACHINES); 0 for none. */
  readonly warmMachines: number
  /** Give the data directory a new master key at this start (`--rotate-master-key`, AUTOVIBE_ROTATE_MASTER_KEY=1). */
  readonly rotateMasterKey: boolean
  /** A bucket for the checkpoint store (AUTOVIBE_STORE); null keeps it in the data directory. */
  readonly store: S3Config | null
}

const Raw = z.object({
  'data-dir': z.string().min(1),
  port: z.coerce.number().int().min(0).max(65_535),
  'log-level': z.enum(['error', 'warn', 'info', 'debug']),
  isolation: IsolationTier.optional(),
  copy: CopyTier.optional(),
  'warm-machines': z.coerce.number().int().min(0).max(64),
})
const FIX = 'autovibe up --help'

/** Reads flags over environment over defaults; `request.invalid` names what is wrong. Takes DATABASE_URL, AUTOVIBE_STORE and the keys of AWS out of `env`. */
export function readConfig(args: readonly string[], env: NodeJS.ProcessEnv): HubConfig {
  const values = readFlags(args)
  const raw = Raw.safeParse({
    'data-dir': values['data-dir'] ?? env['AUTOVIBE_DATA_DIR'],
    port: values.port ?? env['AUTOVIBE_PORT'] ?? '7420',
    'log-level': values['log-level'] ?? env['AUTOVIBE_LOG_LEVEL'] ?? 'info',
    isolation: values.isolation ?? env['AUTOVIBE_ISOLATION'],
    copy: values.copy ?? env['AUTOVIBE_COPY'],
    'warm-machines': values['warm-machines'] ?? env['AUTOVIBE_WARM_MACHINES'] ?? '4',
  })
  if (!raw.success) {
    const errors = raw.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
    throw new AutovibeError('request.invalid', `The Hub cannot start: ${errors.map(({ path, message }) => `--${path} ${message}`).join('; ')}`, {
      errors,
      fix: FIX,
    })
  }
  const databaseUrl = env['DATABASE_URL'] ?? null
  // A child process has no business with the database.
  delete env['DATABASE_URL']
  return {
    dataDir: resolve(raw.data['data-dir']),
    port: raw.data.port,
    databaseUrl: databaseUrl === '' ? null : databaseUrl,
    logLevel: raw.data['log-level'],
    isolation: raw.data.isolation ?? null,
    copy: raw.data.copy ?? null,
    warmMachines: raw.data['warm-machines'],
    rotateMasterKey: values['rotate-master-key'] ?? env['AUTOVIBE_ROTATE_MASTER_KEY'] === '1',
    store: readS3Config(env),
  }
}

function readFlags(args: readonly string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      options: {
        'data-dir': text,
        port: text,
        'log-level': text,
        isolation: text,
        copy: text,
        'warm-machines': text,
        'rotate-master-key': { type: 'boolean' },
      },
    }).values
  } catch (cause) {
    // Node's sentence names the flag, and goes on with advice that is not ours.
    const [why] = (cause as Error).message.split('. ')
    throw new AutovibeError('request.invalid', `The Hub cannot start: ${why}.`, { fix: FIX, cause })
  }
}

/** Where each thing lies in the data directory. */
export const dataPaths = (dataDir: string) => ({
  hubFile: join(dataDir, 'hub.json'),
  /** What the last end of a Hub has stopped, for the command that asked for it. */
  stoppedFile: join(dataDir, 'stopped.json'),
  apiKey: join(dataDir, 'api-key'),
  postgres: join(dataDir, 'postgres'),
  /** By which a store that several Hubs share knows this one. */
  hubId: join(dataDir, 'hub-id'),
  sources: join(dataDir, 'sources'),
  agents: join(dataDir, 'agents'),
  /** Where checkpoints are restored to see whether they can be. */
  scratch: join(dataDir, 'scratch'),
  /** Archives that become checkpoints. */
  imports: join(dataDir, 'imports'),
})
