/** The agent tools in the data directory: what is there, and how one is put there through npm, whole or not at all. */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { AutovibeError, type InstalledAgent } from '@autovibe/contract'

const run = promisify(execFile)

/** Tools that are packages of their own; the built-in agent needs none. */
const PACKAGES: Readonly<Record<string, string>> = { 'claude-code': '@anthropic-ai/claude-code' }
/** The binary has a quarter of a gigabyte. */
const INSTALL_TIMEOUT_MS = 15 * 60_000

/** All known agents, installed or not. */
export async function listAgents(agentsDir: string): Promise<InstalledAgent[]> {
  const tools = await Promise.all(Object.keys(PACKAGES).map((name) => describe(agentsDir, name)))
  return [{ name: 'builtin', version: null, installed: true, path: null }, ...tools]
}

export async function isAgentInstalled(agentsDir: string, name: string): Promise<boolean> {
  return (await listAgents(agentsDir)).some((agent) => agent.name === name && agent.installed)
}

/** Installs a tool, or answers with the one that is there. Errors: `agent.unknown`, `agent.not_installed` (npm failed), `substrate.disk_full`. */
export async function installAgent(agentsDir: string, name: string): Promise<InstalledAgent> {
  const packageName = PACKAGES[name]
  if (name === 'builtin') return { name, version: null, installed: true, path: null }
  if (!packageName) throw new AutovibeError('agent.unknown', `There is no agent ${name} to install.`, { fix: `Known: ${Object.keys(PACKAGES).join(', ')}` })
  const there = await describe(agentsDir, name)
  if (there.installed) return there
  await mkdir(agentsDir, { recursive: true, mode: 0o755 })
  const unfinished = await mkdtemp(join(agentsDir, '.installing-'))
  try {
    const args = ['install', '--prefix', unfinished, '--no-save', '--no-audit', '--no-fund', '--loglevel=error', packageName]
    await run('npm', args, { timeout: INSTALL_TIMEOUT_MS, maxBuffer: 4 * 1024 * 1024, env: npmEnvironment() })
    // Machines read it, some of them as another user.
    await chmod(unfinished, 0o755)
    await rename(unfinished, join(agentsDir, name))
  } catch (error) {
    throw installError(name, error as { stderr?: string; code?: string })
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return describe(agentsDir, name)
}

async function describe(agentsDir: string, name: string): Promise<InstalledAgent> {
  const path = join(agentsDir, name)
  const manifest = await readFile(join(path, 'node_modules', PACKAGES[name] ?? '', 'package.json'), 'utf8').catch(() => null)
  return manifest
    ? { name, version: String((JSON.parse(manifest) as { version: unknown }).version), installed: true, path }
    : { name, version: null, installed: false, path: null }
}

/** npm runs under this Node, and with the certificates that the launcher kept aside. */
function npmEnvironment(): NodeJS.ProcessEnv {
  const certificates = process.env['AUTOVIBE_EXTRA_CA_CERTS']
  const path = `${join(process.execPath, '..')}:${process.env['PATH'] ?? ''}`
  return { ...process.env, PATH: path, ...(certificates ? { NODE_EXTRA_CA_CERTS: certificates } : {}) }
}

function installError(name: string, { stderr = '', code }: { stderr?: string; code?: string }): AutovibeError {
  if (/ENOSPC/.test(stderr))
    return new AutovibeError('substrate.disk_full', `The disk is full: ${name} was not installed.`, { fix: 'Free some space, then try again.' })
  if (code === 'ENOENT') return new AutovibeError('agent.not_installed', 'npm was not found.', { fix: 'Install Node with npm, then try again.' })
  const last = stderr.trim().split('\n').slice(-3).join(' ')
  return new AutovibeError('agent.not_installed', `npm could not install ${name}: ${last}`, {
    fix: 'Check the network, then: autovibe agent install claude-code',
    retryable: true,
  })
}
