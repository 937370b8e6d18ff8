/** Guests that install themselves: a VM that starts with a disc for cloud-init reads it as cloud-init would, and says so by its name when it has found all that it needs. */
import { execFile, spawnSync } from 'node:child_process'
import { access, constants, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Boot, GuestAgent } from './guests.ts'
import { PlainGuests } from './plain-guests.ts'
import { parseDrive } from './vm-config.ts'
import { filePath } from './vm-drives.ts'

const run = promisify(execFile)

/** What a disc for cloud-init says. */
export interface ReadSeed {
  readonly label: string
  readonly userData: Readonly<Record<string, unknown>>
  readonly metaData: string
  readonly networkConfig: string | null
  /** The version of Node that is asked for. */
  readonly nodeVersion: string
}

export class InstallingGuests extends PlainGuests {
  /** By VM: what it found on its disc. */
  readonly seeds = new Map<number, ReadSeed>()
  /** Why a VM says nothing. */
  readonly failures = new Map<number, string>()
  /** VMs that never come to their end. */
  readonly stalled = new Set<number>()
  /** VMs on which nothing is installed yet, a guest agent neither. */
  readonly #bare = new Set<number>()
  readonly #directory: string

  constructor(directory: string) {
    super(join(directory, 'guests'))
    this.#directory = directory
  }

  override async start(boot: Boot): Promise<void> {
    await super.start(boot)
    // Lost with the kernel that had it.
    this.hostNames.delete(boot.vmid)
    const disc = parseDrive('ide2', boot.config['ide2'] ?? '')
    if (!/:iso\//.test(disc.file)) return
    this.#bare.add(boot.vmid)
    if (!this.stalled.has(boot.vmid)) await this.finish(boot.vmid)
  }

  override agent(vmid: number): GuestAgent | null {
    return this.#bare.has(vmid) ? null : super.agent(vmid)
  }

  /** The VM comes to its end after all, and says so. */
  async finish(vmid: number): Promise<void> {
    const boot = this.running.get(vmid)?.boot
    if (boot === undefined) throw new Error(`VM ${vmid} does not run`)
    try {
      const says = await this.#install(boot, filePath(this.#directory, parseDrive('ide2', boot.config['ide2'] ?? '').file))
      this.#bare.delete(vmid)
      this.hostNames.set(vmid, says)
    } catch (error) {
      this.failures.set(vmid, (error as Error).message)
    }
  }

  /** Answers what it calls itself in the end. */
  async #install(boot: Boot, iso: string): Promise<string> {
    const [disk] = boot.disks
    if (disk === undefined) throw new Error('there is no disk to start from')
    await access(join(this.folder(disk), 'image'))
    const at = await mkdtemp(join(tmpdir(), 'pve-seed-'))
    try {
      const seed = await readSeed(iso, at)
      this.seeds.set(boot.vmid, seed)
      if ('power_state' in seed.userData) throw new Error('it turns itself off, and nobody hears what it says')
      const says = /\bhostname ([a-z0-9-]+)$/.exec((seed.userData['runcmd'] as string[][]).at(-1)?.at(-1) ?? '')?.[1]
      if (says === undefined) throw new Error('its user data says nothing in the end')
      return says
    } finally {
      await run('chmod', ['-R', 'u+w', at])
      await rm(at, { recursive: true, force: true })
    }
  }
}

async function readSeed(iso: string, at: string): Promise<ReadSeed> {
  const { stderr, stdout } = await run('xorriso', ['-osirrox', 'on', '-indev', iso, '-pvd_info', '-extract', '/', at])
  const label = /^Volume Id\s*: ?'?([^'\n]*?)'?\s*$/im.exec(`${stdout}\n${stderr}`)?.[1] ?? ''
  const text = await readFile(join(at, 'user-data'), 'utf8')
  if (!text.startsWith('#cloud-config\n')) throw new Error('cloud-init would not take this user data')
  const userData = JSON.parse(
    (await run('python3', ['-c', 'import json,sys,yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))', join(at, 'user-data')])).stdout,
  ) as Readonly<Record<string, unknown>>
  const [, install] = userData['runcmd'] as string[][]
  const path = install?.[0] ?? ''
  if (!path.startsWith('/opt/autovibe/')) throw new Error(`nothing is installed by ${path}`)
  const code = join(at, 'autovibe')
  await access(join(code, path.slice('/opt/autovibe/'.length)), constants.X_OK)
  for (const file of ['package-lock.json', 'packages/guest/main.ts', 'packages/agent/main.ts', 'packages/core/package.json', 'packages/contract/index.ts'])
    await access(join(code, file))
  return {
    label,
    userData,
    metaData: await readFile(join(at, 'meta-data'), 'utf8'),
    networkConfig: await readFile(join(at, 'network-config'), 'utf8').catch(() => null),
    nodeVersion: await readFile(join(code, '.node-version'), 'utf8'),
  }
}

const has = (command: string, ...args: readonly string[]): boolean => spawnSync(command, args, { stdio: 'ignore' }).status === 0

/** False, or why this host has no discs for cloud-init. */
export const WITHOUT_INSTALLING: string | false = !has('xorriso', '-version')
  ? 'xorriso is not here, which makes and reads discs (apt-get install xorriso)'
  : !has('python3', '-c', 'import yaml')
    ? 'python3 has no yaml, which reads user data (apt-get install python3-yaml)'
    : false
