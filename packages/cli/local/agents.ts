/** The agents that lie in the data directory, and how one gets there. */
import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { AGENTS, type AgentName, AutovibeError, type InstalledAgent } from '@autovibe/contract'
import { nearest } from '../render/nearest.ts'

/** Packages of agents that are not ours; the built-in one comes with the product. */
const PACKAGES: Partial<Record<AgentName, string>> = { 'claude-code': '@anthropic-ai/claude-code' }

export function agentName(text: string): AgentName {
  const known = AGENTS.find((agent) => agent === text)
  if (known !== undefined) return known
  const meant = nearest(text, AGENTS)
  throw new AutovibeError('agent.unknown', `There is no agent ${JSON.stringify(text)}.`, {
    fix: meant === undefined ? `Use one of: ${AGENTS.join(', ')}` : `Did you mean --agent ${meant}?`,
  })
}

export async function findAgent(dataDir: string, name: AgentName): Promise<InstalledAgent> {
  const packageName = PACKAGES[name]
  if (packageName === undefined) return { name, version: null, installed: true, path: null }
  const path = join(dataDir, 'agents', name)
  try {
    const manifest = JSON.parse(await readFile(join(path, 'node_modules', packageName, 'package.json'), 'utf8')) as { version?: unknown }
    return { name, version: String(manifest.version), installed: true, path }
  } catch (thrown) {
    if (thrown instanceof SyntaxError || ['ENOENT', 'ENOTDIR'].includes((thrown as NodeJS.ErrnoException).code ?? ''))
      return { name, version: null, installed: false, path: null }
    throw new AutovibeError('agent.not_installed', `${path} cannot be read (${(thrown as NodeJS.ErrnoException).code}).`, { cause: thrown })
  }
}

export interface InstallOptions {
  readonly signal: AbortSignal
  /** What npm says while it works. */
  readonly onLine: (line: string) => void
}

/** Puts the newest version of an agent into the data directory, whole or not at all. */
export async function installAgent(dataDir: string, name: AgentName, options: InstallOptions): Promise<InstalledAgent> {
  const packageName = PACKAGES[name]
  if (packageName === undefined) return findAgent(dataDir, name)
  const agents = join(dataDir, 'agents')
  await mkdir(agents, { recursive: true, mode: 0o755 })
  const unfinished = await mkdtemp(join(agents, '.installing-'))
  try {
    await npmInstall(unfinished, packageName, options)
    // Machines read it, some of them as another user.
    await chmod(unfinished, 0o755)
    const target = join(agents, name)
    const old = join(agents, `.old-${name}-${process.pid}`)
    await rename(target, old).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== 'ENOENT') throw thrown
    })
    await rename(unfinished, target)
    await rm(old, { recursive: true, force: true })
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return findAgent(dataDir, name)
}

function npmInstall(prefix: string, packageName: string, options: InstallOptions): Promise<void> {
  const args = ['install', '--prefix', prefix, '--no-save', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=http', packageName]
  // npm must run its own scripts with this Node, not with an older one of the host; the launcher may have kept certificates aside.
  const certificates = process.env['AUTOVIBE_EXTRA_CA_CERTS']
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`,
    NO_COLOR: '1',
    ...(certificates ? { NODE_EXTRA_CA_CERTS: certificates } : {}),
  }
  return new Promise((resolve, reject) => {
    const child = spawn('npm', args, { cwd: prefix, env, stdio: ['ignore', 'pipe', 'pipe'], signal: options.signal })
    let said = ''
    const listen = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-16_384)
      for (const line of chunk.toString().split('\n')) if (line.trim() !== '') options.onLine(line.trim())
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (options.signal.aborted) reject(options.signal.reason)
      else
        reject(new AutovibeError('agent.not_installed', `npm cannot be started (${cause.code}).`, { cause, fix: 'Install npm, then run the command again.' }))
    })
    child.once('close', (code) => {
      if (code === 0) return resolve()
      if (/ENOSPC/.test(said))
        return reject(new AutovibeError('substrate.disk_full', `The disk of ${prefix} is full.`, { fix: 'Free about 300 MB and run the command again.' }))
      const errors = said
        .split('\n')
        .filter((line) => /npm (error|ERR!)/.test(line))
        .slice(0, 4)
        .join(' ')
      reject(
        new AutovibeError('agent.not_installed', `npm could not install ${packageName} (exit code ${code}): ${errors || said.trim().slice(-500)}`, {
          fix: `Try by hand: npm install ${packageName}`,
          retryable: true,
        }),
      )
    })
  })
}
