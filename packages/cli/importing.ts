/** Brings a checkout into the Hub as the source of a project, reading it only. */
import { openAsBlob } from 'node:fs'
import { basename } from 'node:path'
import { AutovibeError, Name, type Project } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import { sourceCommit, writeBundle } from './git/bundle.ts'
import { findLeftovers, type Leftovers, type Repository } from './git/repository.ts'
import { makeScratch } from './git/scratch.ts'

export interface Imported {
  readonly project: Project
  /** False when the Hub had this commit already. */
  readonly uploaded: boolean
  readonly bytes: number
  readonly commit: string
  readonly dirty: boolean
  readonly leftovers: Leftovers
}

export interface ImportOptions {
  readonly name: string
  readonly includeDirty: boolean
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

/** The project of that name with the checkout's HEAD (and what is uncommitted, if wanted) as its source. */
export async function importCheckout(client: Autovibe, repository: Repository, options: ImportOptions): Promise<Imported> {
  const { signal } = options
  options.onProgress('reading the repository')
  const leftovers = await findLeftovers(repository)
  await using scratch = await makeScratch(repository)
  const source = await sourceCommit(repository, scratch, options.includeDirty)
  const project = await findOrCreate(client, options)
  const known = project.source
  const result = { commit: source.commit, dirty: source.dirty, leftovers }
  if (known && known.commit === source.commit && known.base_commit === source.baseCommit && known.branch === source.branch && known.dirty === source.dirty)
    return { ...result, project, uploaded: false, bytes: known.bytes }
  options.onProgress('packing the repository')
  const bundle = await writeBundle(scratch, source, signal)
  options.onProgress('copying the repository to the Hub')
  return {
    ...result,
    project: await client.projects.putSource(project.id, await openAsBlob(bundle.path), source, { signal }),
    uploaded: true,
    bytes: bundle.bytes,
  }
}

/** A name for the project of a folder: its own, as far as a name can hold it. */
export function projectName(root: string): string {
  const slug = basename(root)
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '')
  return slug === '' ? 'project' : slug
}

/** The name, when it can be one; `option` is where it came from. */
export function checkName(name: string, option = '--name'): string {
  if (Name.safeParse(name).success) return name
  throw new AutovibeError('request.invalid', `${option} ${JSON.stringify(name)} must be 1 to 40 of a-z, 0-9 and -, with a letter or digit at both ends.`, {
    fix: `${option} ${projectName(name)}`,
  })
}

/** The project of that name or id, made when there is none. */
export async function findOrCreate(client: Autovibe, { name, signal }: Pick<ImportOptions, 'name' | 'signal'>): Promise<Project> {
  const find = () =>
    client.projects.get(name, { signal }).catch((thrown: unknown) => {
      if (thrown instanceof AutovibeError && thrown.code === 'not_found') return undefined
      throw thrown
    })
  const found = await find()
  if (found) return found
  try {
    return await client.projects.create({ name }, { signal })
  } catch (thrown) {
    // Another command was faster.
    const theirs = thrown instanceof AutovibeError && thrown.code === 'conflict.name_taken' ? await find() : undefined
    if (theirs) return theirs
    throw thrown
  }
}
