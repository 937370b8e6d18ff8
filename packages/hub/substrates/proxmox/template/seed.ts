/** The seed: a disc for cloud-init with the user data of the first boot and the very files of this Hub's version, from which the VM installs its guest. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { AutovibeError } from '@autovibe/contract'
import { INSTALLED_HOST_NAME } from '@autovibe/core/proxmox/template-build.ts'
import { type SeedFile, seedFiles } from './seed-files.ts'

const run = promisify(execFile)
/** cloud-init looks for it. */
const LABEL = 'cidata'
/** Below it on the disc lies what becomes /opt/autovibe. */
const CODE = 'autovibe'
/** In the user data that this shares with the script for root. What an earlier boot may have left is not mixed with this. */
const PLACE = '"@FETCH@"'
const FETCH = JSON.stringify([
  'sh',
  '-ec',
  `rm -rf /opt/autovibe; mkdir -p /run/autovibe-seed /opt/autovibe; mount -o ro LABEL=${LABEL} /run/autovibe-seed; cp -r /run/autovibe-seed/${CODE}/. /opt/autovibe; chmod -R u+w /opt/autovibe; umount /run/autovibe-seed`,
])
/** Off by itself it would look like one whose process was ended: it stays on until somebody has heard that it is done. */
const GOES_OFF = /^power_state:\n(?: {2}.*\n)+/m
const MAKE_MS = 120_000

export type SeedNetwork =
  | { readonly kind: 'dhcp' }
  | { readonly kind: 'static'; readonly address: string; readonly gateway: string; readonly nameserver: string }

export interface Disc {
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

export class Seed {
  /** Hex, of all that is on it and of all that it is for. */
  readonly hash: string
  readonly #texts: Readonly<Record<string, string>>
  readonly #files: readonly SeedFile[]
  #directory: Promise<string> | null = null
  #disc: Promise<Disc> | null = null

  private constructor(hash: string, texts: Readonly<Record<string, string>>, files: readonly SeedFile[]) {
    this.hash = hash
    this.#texts = texts
    this.#files = files
  }

  /** Reads what belongs on it; `settings` are what else makes a template another one. */
  static async read(network: SeedNetwork, root?: string): Promise<(settings: object) => Seed> {
    const { files, userData } = await seedFiles(root)
    if (!userData.includes(PLACE) || !GOES_OFF.test(userData) || !userData.includes(INSTALLED_HOST_NAME))
      throw new AutovibeError('internal', 'The user data of the template has no place for what is fetched, or no end.')
    const texts = {
      'user-data': userData.replace(PLACE, () => FETCH).replace(GOES_OFF, ''),
      ...(network.kind === 'dhcp' ? {} : { 'network-config': networkConfig(network) }),
      [`${CODE}/.node-version`]: process.versions.node,
    }
    return (settings) => {
      const hash = createHash('sha256')
        .update(JSON.stringify([1, settings, texts, files.map(({ path, sha256, isExecutable }) => [path, sha256, isExecutable])]))
        .digest('hex')
      return new Seed(hash, { ...texts, 'meta-data': `instance-id: autovibe-template-${hash.slice(0, 12)}\nlocal-hostname: autovibe-template\n` }, files)
    }
  }

  /** The disc, made once; `close` takes it away. */
  disc(signal: AbortSignal): Promise<Disc> {
    this.#disc ??= this.#make(signal)
    return this.#disc
  }

  async close(): Promise<void> {
    await this.#disc?.catch(() => undefined)
    if (this.#directory !== null) await rm(await this.#directory, { recursive: true, force: true })
  }

  async #make(signal: AbortSignal): Promise<Disc> {
    this.#directory = mkdtemp(join(tmpdir(), 'autovibe-seed-'))
    const directory = await this.#directory
    const content = join(directory, 'content')
    for (const { path, from, isExecutable } of this.#files) {
      signal.throwIfAborted()
      const to = join(content, CODE, path)
      await mkdir(dirname(to), { recursive: true })
      await copyFile(from, to)
      if (isExecutable) await chmod(to, 0o755)
    }
    for (const [path, text] of Object.entries(this.#texts)) {
      await mkdir(dirname(join(content, path)), { recursive: true })
      await writeFile(join(content, path), text)
    }
    const path = join(directory, 'seed.iso')
    // Rock Ridge keeps names and what may be run; dates of no meaning would make two discs of one seed differ in size.
    await run('xorriso', ['-as', 'mkisofs', '-quiet', '-o', path, '-V', LABEL, '-r', content], {
      signal,
      timeout: MAKE_MS,
      env: { ...process.env, SOURCE_DATE_EPOCH: '946684800' },
    }).catch((cause: NodeJS.ErrnoException & { stderr?: string }) => {
      signal.throwIfAborted()
      if (cause.code === 'ENOENT')
        throw new AutovibeError('substrate.failed', 'There is no xorriso on the host of the Hub, which makes the disc that the VM installs itself from.', {
          cause,
          fix: 'On that host: apt-get install xorriso',
        })
      throw new AutovibeError('substrate.failed', `xorriso could not make the disc: ${(cause.stderr ?? cause.message).trim().split('\n').at(-1)}`, {
        cause,
        fix: `See whether ${tmpdir()} has room: df -h ${tmpdir()}`,
      })
    })
    const bytes = await readFile(path)
    return { path, sizeBytes: (await stat(path)).size, sha256: createHash('sha256').update(bytes).digest('hex') }
  }
}

/** JSON, which is YAML too. The way out is written in numbers: cloud-init takes no `default` for an address. */
const networkConfig = ({ address, gateway, nameserver }: Extract<SeedNetwork, { kind: 'static' }>): string =>
  `${JSON.stringify({
    version: 2,
    ethernets: { card: { match: { name: 'e*' }, addresses: [address], routes: [{ to: '0.0.0.0/0', via: gateway }], nameservers: { addresses: [nameserver] } } },
  })}\n`
