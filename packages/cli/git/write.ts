/** Puts new files into a checkout all at once: everything is made ready beside it, then renamed; whatever fails is taken back. */
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, rmdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import { below, key, look, readOurs } from './checkout.ts'
import type { Ours } from './merge.ts'

export type Put =
  | { readonly kind: 'file'; readonly from: string; readonly executable: boolean }
  | { readonly kind: 'symlink'; readonly target: Buffer }
  | { readonly kind: 'absent' }

export interface Write {
  readonly name: string
  readonly path: Buffer
  /** What was seen when the write was decided; anything else by now is a conflict. */
  readonly expected: Ours
  readonly put: Put
}

/** Carries out all writes or none; `apply.conflict` names the path that has changed meanwhile. */
export async function writeAll(root: string, writes: readonly Write[]): Promise<void> {
  if (writes.length === 0) return
  const staging = await mkdtemp(join(root, '.autovibe-apply-')).catch((cause: NodeJS.ErrnoException) => {
    throw cannotWrite(root, cause)
  })
  const undo: (() => Promise<void>)[] = []
  let keepStaging = false
  try {
    const ready = await makeReady(staging, writes)
    for (const [index, write] of writes.entries()) await takeAway(root, write, join(staging, `old-${index}`), undo)
    for (const [index, write] of writes.entries()) {
      const from = ready.get(index)
      if (from !== undefined) await putInPlace(root, write, from, undo)
    }
  } catch (thrown) {
    for (const step of undo.reverse()) {
      await step().catch(() => {
        keepStaging = true
      })
    }
    if (keepStaging)
      throw new AutovibeError('apply.conflict', `Applying failed, and not everything could be put back: the former files are in ${staging}.`, {
        cause: thrown,
        fix: `Move them back, then remove ${staging}.`,
      })
    if (thrown instanceof AutovibeError) throw thrown
    throw cannotWrite(root, thrown as NodeJS.ErrnoException)
  } finally {
    if (!keepStaging) await rm(staging, { recursive: true, force: true })
  }
}

/** The new files and links under the staging folder, by index of their write. */
async function makeReady(staging: string, writes: readonly Write[]): Promise<Map<number, string>> {
  const ready = new Map<number, string>()
  // Modes as the user's umask gives them, as git does.
  const mask = process.umask()
  for (const [index, { put }] of writes.entries()) {
    if (put.kind === 'absent') continue
    const target = join(staging, `new-${index}`)
    if (put.kind === 'symlink') await symlink(put.target, target)
    else {
      await copyFile(put.from, target)
      await chmod(target, (put.executable ? 0o777 : 0o666) & ~mask)
    }
    ready.set(index, target)
  }
  return ready
}

async function takeAway(root: string, write: Write, aside: string, undo: (() => Promise<void>)[]): Promise<void> {
  const { expected, path, name } = write
  if (expected.kind !== 'file' && expected.kind !== 'symlink') return
  const now = await readOurs(root, path, new Set())
  if (!sameAs(expected, now)) throw changedMeanwhile(name)
  const full = below(root, path)
  await rename(full, aside)
  undo.push(async () => {
    await makeParents(root, path)
    await rename(aside, full)
  })
  await removeEmptyParents(root, path)
}

async function putInPlace(root: string, write: Write, from: string, undo: (() => Promise<void>)[]): Promise<void> {
  const full = below(root, write.path)
  const made = await makeParents(root, write.path)
  undo.push(async () => {
    for (const folder of made.reverse()) await rmdir(folder)
  })
  const there = await look(full)
  // Our own removals leave empty folders behind; anything else is not ours to remove.
  if (there?.isDirectory()) {
    const removed = await rmdir(full).then(
      () => true,
      () => false,
    )
    if (!removed)
      throw new AutovibeError(
        'apply.conflict',
        `${JSON.stringify(write.name)} cannot be written: a folder with other files is in its place. Nothing was changed.`,
        { fix: 'Keep the checkout as it is and make a branch: --branch NAME' },
      )
  } else if (there) throw changedMeanwhile(write.name)
  await rename(from, full)
  undo.push(() => rm(full))
}

/** Makes the folders above a path, refusing to go through anything that is not a folder; answers those that are new, outermost first. */
async function makeParents(root: string, path: Buffer): Promise<Buffer[]> {
  const parts = key(path).split('/')
  const made: Buffer[] = []
  for (let length = 1; length < parts.length; length++) {
    const folder = below(root, Buffer.from(parts.slice(0, length).join('/'), 'latin1'))
    const stats = await look(folder)
    if (stats?.isDirectory()) continue
    if (stats)
      throw new AutovibeError(
        'apply.conflict',
        `${JSON.stringify(folder.toString())} is not a folder, so nothing can be written below it. Nothing was changed.`,
      )
    await mkdir(folder)
    made.push(folder)
  }
  return made
}

/** Git knows no empty folders, so a folder goes with its last file. */
async function removeEmptyParents(root: string, path: Buffer): Promise<void> {
  const parts = key(path).split('/')
  for (let length = parts.length - 1; length > 0; length--) {
    const folder = below(root, Buffer.from(parts.slice(0, length).join('/'), 'latin1'))
    const removed = await rmdir(folder).then(
      () => true,
      () => false,
    )
    if (!removed) return
  }
}

function sameAs(expected: Ours, now: Ours): boolean {
  if (expected.kind === 'file' && now.kind === 'file') return expected.sha256 === now.sha256 && expected.executable === now.executable
  return expected.kind === 'symlink' && now.kind === 'symlink' && expected.target.equals(now.target)
}

const changedMeanwhile = (name: string): AutovibeError =>
  new AutovibeError('apply.conflict', `${JSON.stringify(name)} changed in the checkout while it was being applied. Nothing was changed by autovibe.`, {
    fix: 'Run the same command again.',
  })

function cannotWrite(root: string, cause: NodeJS.ErrnoException): AutovibeError {
  if (cause.code === 'ENOSPC')
    return new AutovibeError('substrate.disk_full', `The disk of ${root} is full. Nothing was changed.`, {
      cause,
      fix: 'Free some space and run the same command again.',
    })
  return new AutovibeError('apply.conflict', `${root} cannot be written (${cause.code ?? cause.message}). Nothing was changed.`, { cause })
}
