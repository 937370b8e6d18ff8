/** Overlay mounts: their options, what is mounted in a machine's namespace, and the swap of the layer that it writes to. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AutovibeError, MACHINE_PATHS } from '@autovibe/contract'
import type { Host } from './host.ts'

/** The lowest layer of every stack: the kernel wants one even beneath an empty machine. */
export const EMPTY_LAYER = 'empty'

/** mount(2) takes one page of options; names are short and relative to the layers' folder so that this suffices for some 350 layers. */
const OPTION_BYTES = 4000

/** The options for mount(8) of a stack (oldest first) below a layer to write to, or of the stack alone, read-only. Paths are relative to the layers' folder. */
export function overlayOptions(stack: readonly string[], upper: string | null, asRoot: boolean): string {
  return `nosuid,nodev,${upper === null ? 'ro,' : ''}${layerOptions(stack, upper, asRoot)}`
}

/** The same for mount(2), which takes as flags what is not the file system's own. */
function layerOptions(stack: readonly string[], upper: string | null, asRoot: boolean): string {
  const lowers = [...stack]
    .reverse()
    .concat(EMPTY_LAYER)
    .map((layer) => `${layer}/fs`)
  const options = [
    `lowerdir=${lowers.join(':')}`,
    ...(upper === null ? [] : [`upperdir=${upper}/fs`, `workdir=${upper}/work`]),
    // A renamed folder is copied instead of redirected, so that every layer can be read as plain files.
    asRoot ? 'redirect_dir=nofollow' : 'userxattr',
    // Where a kernel has it on, a layer that is let go of could not become a lower one at once.
    'index=off',
  ].join(',')
  if (options.length > OPTION_BYTES)
    throw new AutovibeError('substrate.failed', `The machine stands on ${stack.length} layers, more than the kernel can mount.`, {
      fix: 'Stop and start the machine: its layers are merged then.',
    })
  return options
}

/** Where the tree lies in a root folder. */
export const treeIn = (root: string): string => join(root, MACHINE_PATHS.tree)

export interface Mounted {
  /** Where the tree is, or shall be, mounted in the machine's namespace. */
  readonly tree: string
  /** The layer that is written to; null when nothing is mounted. */
  readonly upper: string | null
  readonly readOnly: boolean
}

/** What the kernel says is mounted in the namespace of this process. The machine may have been started on an older form of the root folder. */
export function mountedIn(host: Host, pid: number): Mounted {
  let root = host.skeleton.folder
  const overlays = new Map<string, { upper: string; readOnly: boolean }>()
  // proc(5): fields are parted by spaces, and a space within one is written \040.
  for (const line of readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [type, source = '', options = ''] = after.split(' ')
    const point = (before.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    if (dirname(point) === host.layout.roots) root = point
    if (type === 'overlay') overlays.set(point, { upper: source, readOnly: options.split(',').includes('ro') })
  }
  const tree = treeIn(root)
  return { tree, upper: null, readOnly: false, ...overlays.get(tree) }
}

/** Makes the running tree read-only, or writable again. False when a file is open for writing. */
export async function setReadOnly(host: Host, pid: number, tree: string, readOnly: boolean): Promise<boolean> {
  return (await host.mounter.in(pid, tree, { act: readOnly ? 'read-only' : 'writable' })) === 'done'
}

/** Freezes the layer that is written to and puts a new one above it. `busy`: somebody has something of the tree open, and nothing was changed. */
export function swapUpper(host: Host, pid: number, tree: string, stack: readonly string[], upper: string): Promise<'done' | 'busy'> {
  return host.mounter.in(pid, tree, { act: 'swap', layers: host.layout.layers, upper, options: layerOptions(stack, upper, host.offer.asRoot) })
}

/** Mounts the tree again in a running machine that lost it between the two halves of a swap. */
export async function mountTree(host: Host, pid: number, tree: string, stack: readonly string[], upper: string): Promise<void> {
  await host.mounter.in(pid, tree, { act: 'mount', layers: host.layout.layers, upper, options: layerOptions(stack, upper, host.offer.asRoot) })
}
