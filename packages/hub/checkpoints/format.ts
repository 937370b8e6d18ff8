/** What a store says of itself, so that no autovibe takes up one that it does not understand. */
import { AutovibeError } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import { FORMAT_NAME } from './segments/names.ts'

const FORMAT = 'autovibe-checkpoint-store'
const VERSION = 2
const FORMAT_BYTES_MAX = 4096

/** Leaves its mark in an empty place. `hub.data_version` for a place that holds something else, or a store of another version. */
export async function assertFormat(backend: Backend): Promise<void> {
  const read = () => backend.get(FORMAT_NAME, { offset: 0, length: FORMAT_BYTES_MAX })
  let found = await read()
  if (found === null) {
    const { value: first, done } = await backend.list('')[Symbol.asyncIterator]().next()
    if (done) {
      await backend.put(FORMAT_NAME, Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION })}\n`), { ifAbsent: true })
      return
    }
    // Another Hub may have begun with the place since; it leaves the mark before anything else.
    found = await read()
    if (found === null) throw otherVersion(backend, `has no format file, but has ${first.name}`)
  }
  const [, format, version] = /^\{"format":"([a-z-]{1,100})","version":(\d{1,9})\}\n$/.exec(found.toString('utf8')) ?? []
  if (format !== FORMAT) throw otherVersion(backend, 'has a format file that is not ours')
  if (Number(version) !== VERSION) throw otherVersion(backend, `is of version ${version}; this autovibe knows version ${VERSION}`)
}

const otherVersion = (backend: Backend, what: string): AutovibeError =>
  new AutovibeError('hub.data_version', `The checkpoint store ${backend.place} ${what}.`, {
    fix: 'Run the autovibe that wrote it, or give another place: --data-dir.',
  })
