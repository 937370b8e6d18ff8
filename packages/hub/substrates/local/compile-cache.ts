/** Node's compile cache for the agent, made once for each version of its code, in a sandbox at the paths that machines use; machines may only read it. */
import { createHash, randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runOrThrow } from './command.ts'
import { type Host, type LocalSubstrateOptions, sharesHost } from './host.ts'
import { discard } from './layers.ts'
import type { Layout } from './layout.ts'
import { codeBinds, SANDBOX_FLAGS } from './sandbox.ts'
import { CACHE_INSIDE, OPT } from './skeleton.ts'

const WARM_TIMEOUT_MS = 60_000
const CODE = ['packages/agent', 'packages/contract', 'packages/core'] as const

/** The cache's folder for this code and this Node, whether it was made yet or not. */
export async function cacheFolder(layout: Layout, options: LocalSubstrateOptions): Promise<string> {
  const hash = createHash('sha256')
  const note = async (path: string): Promise<void> => {
    const { size, mtimeMs } = await stat(path)
    hash.update(`${path}\0${size}\0${mtimeMs}\n`)
  }
  await note(options.nodePath)
  for (const part of CODE) {
    const files = (await readdir(join(options.agentCode.root, part), { recursive: true })).filter(
      (file) => /\.[cm]?[jt]s$/.test(file) && !file.includes('node_modules'),
    )
    for (const file of files.sort()) await note(join(options.agentCode.root, part, file))
  }
  return join(layout.caches, hash.digest('hex').slice(0, 16))
}

/** Fills the cache if it is missing, and removes those of earlier code. A machine started meanwhile starts without one. */
export async function warmCache(host: Host): Promise<void> {
  if (sharesHost(host.offer) || host.options.agentCode.entry !== undefined) return
  if (!existsSync(host.cache)) {
    const fresh = join(host.layout.trash, `cache-${randomInt(36 ** 6).toString(36)}`)
    await mkdir(fresh, { mode: 0o755 })
    const binds = codeBinds(host).flatMap(([from, to]) => ['--ro-bind', from, to])
    const mounts = [
      '--bind',
      host.skeleton.folder,
      '/',
      ...binds,
      '--bind',
      fresh,
      CACHE_INSIDE,
      '--proc',
      '/proc',
      '--remount-ro',
      '/proc',
      '--dev',
      '/dev',
      '--tmpfs',
      '/tmp',
      '--remount-ro',
      '/',
    ]
    const env = ['--clearenv', '--setenv', 'HOME', '/tmp', '--setenv', 'NODE_COMPILE_CACHE', CACHE_INSIDE]
    await runOrThrow('bwrap', [...SANDBOX_FLAGS, ...env, ...mounts, '--chdir', '/', '--', join(OPT, 'bin/node'), join(OPT, 'packages/agent/main.ts'), 'warm'], {
      timeoutMs: WARM_TIMEOUT_MS,
      what: 'Filling the compile cache of the agent',
    })
    await rename(fresh, host.cache)
  }
  for (const name of await readdir(host.layout.caches)) {
    const folder = join(host.layout.caches, name)
    if (folder !== host.cache) await discard(host, folder)
  }
}
