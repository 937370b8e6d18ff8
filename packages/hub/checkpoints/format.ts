/** What a store says of itself, so that no autovibe takes up one that it does not understand. */
import { AutovibeError } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import { FORMAT_NAME } from './segments/names.ts'

const FORMAT = 'autovibe-checkpoint-store'
const VERSION = 2
const FORMAT_BYTES_MAX = 4096

/** Leaves its mark in an empty place. `hub.data_version` for a place that holds something else, or a store of another version. */
export async function assertFormat(backend: Backend): Promise<void> {
  const found = (await readFormat(backend)) ?? (await makeFormat(backend))
  const [, format, version] = /^\{"format":"([a-z-]{1,100})","version":(\d{1,9})\}\n$/.exec(found.toString('utf8')) ?? []
  if (format !== FORMAT) throw otherVersion(backend, 'has a format file that is not ours')
  if (Number(version) !== VERSION) throw otherVersion(backend, `is of version ${version}; this autovibe knows version ${VERSION}`)
}

const readFormat = (backend: Backend): Promise<Buffer | null> => backend.get(FORMAT_NAME, { offset: 0, length: FORMAT_BYTES_MAX })

/** What is in force then: of several who find an empty place at once, one leaves its mark, and nobody puts anything before it. */
async function makeFormat(backend: Backend): Promise<Buffer> {
  let first: string | null = null
  for await (const { name } of backend.list('')) {
    first = name
    break
  }
  const mine = Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION })}\n`)
  if (first === null && (await backend.put(FORMAT_NAME, mine, { ifAbsent: true }))) return mine
  const theirs = await readFormat(backend)
  if (theirs === null) throw otherVersion(backend, `has no format file, but has ${first ?? 'had one a moment ago'}`)
  return theirs
}

const otherVersion = (backend: Backend, what: string): AutovibeError =>
  new AutovibeError('hub.data_version', `The checkpoint store ${backend.place} ${what}.`, {
    fix: 'Run the autovibe that wrote it, or give another place: --data-dir, or the prefix in AUTOVIBE_STORE.',
  })
