/** Making a template: what the things of a build are called, and what comes next by what is on the cluster already. */

/** Hex digits of a build's id, and of the image's sum, that a name has room for. */
const ID_DIGITS = 12
const SUM_DIGITS = 16
export const TEMPLATE_TAG = 'autovibe-template'
/** The VM was started with its seed. */
export const INSTALLING_TAG = 'autovibe-installing'
/** It has said that all is installed: whatever ends it now ends nothing. */
export const INSTALLED_TAG = 'autovibe-installed'
/** What the VM calls itself when all is installed, as `user-data.yaml` has it: for its guest agent to tell, until it is off. */
export const INSTALLED_HOST_NAME = 'autovibe-template-made'

export interface BuildNames {
  /** Of the VM, a DNS label. */
  readonly vm: string
  /** File names on the storage for images. */
  readonly image: string
  readonly seed: string
}

/** `hash`: hex, of all that goes into the template. Files carry the VM's number, so that two builds never share one. */
export function buildNames(vmid: number, hash: string, imageSha256: string): BuildNames {
  return {
    vm: `${TEMPLATE_TAG}-${hash.slice(0, ID_DIGITS)}`,
    image: `${TEMPLATE_TAG}-${vmid}-${imageSha256.slice(0, SUM_DIGITS)}.qcow2`,
    seed: `${TEMPLATE_TAG}-${vmid}-${hash.slice(0, ID_DIGITS)}.iso`,
  }
}

/** For people, and for whoever has to say the sum again when another image has come out meanwhile. */
export const buildNotes = (imageUrl: string, sha256: string): string => `The making of a template for autovibe, out of ${imageUrl} (sha256 ${sha256}).`
export const sumOfNotes = (notes: string | undefined): string | undefined => /\(sha256 ([0-9a-f]{64})\)/.exec(notes ?? '')?.[1]

export const isBuildName = (name: string | undefined): boolean => /^autovibe-template-[0-9a-f]{12}$/.test(name ?? '')

/** Whether a volume on this storage is a file that a build of this number has put there. */
export function isBuildFile(volid: string, storage: string, vmid: number): boolean {
  const [, at, kind = '', number] = /^([^:]+):(import|iso)\/autovibe-template-(\d+)-(?:[0-9a-f]{16}\.qcow2|[0-9a-f]{12}\.iso)$/.exec(volid) ?? []
  return at === storage && number === String(vmid) && volid.endsWith(kind === 'iso' ? '.iso' : '.qcow2')
}

export interface SeenVm {
  readonly name: string | undefined
  readonly tags: readonly string[]
  readonly isTemplate: boolean
  readonly isRunning: boolean
  readonly lock: string | undefined
  /** The sum of the image of which its notes tell. */
  readonly imageSha256: string | undefined
  readonly diskBytes: number
  /** The card, the cloud-init drive and the rest are as machines need them. */
  readonly isSettled: boolean
}

export interface SeenBuild {
  readonly vm: SeenVm | null
  readonly image: boolean
  /** Whole: one that was cut off counts as none. */
  readonly seed: boolean
  /** Files of this build that are still there, and shall not be when it is done. */
  readonly leftovers: number
}

export type BuildStep =
  | 'image'
  | 'seed'
  | 'vm'
  | 'disk'
  | 'start'
  /** It runs, and nothing says yet that it was started. */
  | 'mark'
  | 'install'
  /** All is installed, and it is still on. */
  | 'off'
  | 'settle'
  | 'convert'
  | 'tidy'
  | 'done'

export type Hindrance = 'another build' | 'another template' | 'somebody else' | 'locked' | 'not installed'

/** The one thing that comes next, or what is in the way. Whatever was interrupted where, the answer depends on nothing but what is there. */
export function nextOfBuild(seen: SeenBuild, wanted: { readonly name: string; readonly diskBytes: number }): BuildStep | Hindrance {
  const { vm } = seen
  if (vm === null) return seen.image ? (seen.seed ? 'vm' : 'seed') : 'image'
  const isLocked = vm.lock !== undefined
  // A VM that is still being made has no name yet.
  if (isLocked && vm.name === undefined) return 'locked'
  if (vm.name !== wanted.name)
    return !isBuildName(vm.name) || !vm.tags.includes(TEMPLATE_TAG) ? 'somebody else' : vm.isTemplate ? 'another template' : 'another build'
  const isMarked = vm.tags.includes(INSTALLING_TAG)
  // What locks a finished one, a backup say, is nothing to wait for.
  if (vm.isTemplate && !isMarked && seen.leftovers === 0) return 'done'
  if (isLocked) return 'locked'
  if (vm.isTemplate) return 'tidy'
  const isInstalled = vm.tags.includes(INSTALLED_TAG)
  if (vm.isRunning) return !isMarked ? 'mark' : isInstalled ? 'off' : 'install'
  // It never turns itself off: what has ended it has left half a template.
  if (isMarked && !isInstalled) return 'not installed'
  if (isMarked) return vm.isSettled ? 'convert' : 'settle'
  return vm.diskBytes < wanted.diskBytes ? 'disk' : 'start'
}

/** A template from which machines may be cloned, whoever's. One that is still marked may have been broken off while its disk was made one. */
export const isFinishedTemplate = ({ tags, isTemplate }: SeenVm): boolean => isTemplate && !tags.includes(INSTALLING_TAG)

/** Whether the VM is an unfinished build's, which may be taken away. */
export const isUnfinishedBuild = (vm: SeenVm): boolean => isBuildName(vm.name) && vm.tags.includes(TEMPLATE_TAG) && !isFinishedTemplate(vm)
