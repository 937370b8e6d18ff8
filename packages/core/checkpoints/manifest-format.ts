/** The manifest as bytes: one header line, then one JSON line per entry; equal trees give equal bytes, and the SHA-256 of these bytes names the manifest. */
import { AutovibeError, ManifestEntry } from '@autovibe/contract'
import { entryProblem, MANIFEST_LIMITS, sortKey, treeRefused } from './manifest.ts'

const HEADER = '{"format":"autovibe-manifest","version":1}'
const NEWLINE = 10
/** Joined into one text before they become bytes, so that no text grows to the engine's limit. */
const LINES_PER_CHUNK = 4096

/** The canonical bytes of a sorted manifest. `substrate.failed` when they exceed the limit. */
export function encodeManifest(entries: readonly ManifestEntry[]): Buffer {
  const chunks: Buffer[] = [Buffer.from(`${HEADER}\n`)]
  let bytes = 0
  for (let start = 0; start < entries.length; start += LINES_PER_CHUNK) {
    const lines = entries.slice(start, start + LINES_PER_CHUNK).map(encodeEntry)
    const chunk = Buffer.from(lines.join(''))
    bytes += chunk.length
    if (bytes > MANIFEST_LIMITS.encodedBytes) {
      throw treeRefused(`its manifest exceeds ${MANIFEST_LIMITS.encodedBytes} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The entries of canonical bytes. `checkpoint.corrupt` for anything that encodeManifest would not have written. */
export const decodeManifest = (bytes: Uint8Array): ManifestEntry[] => [...decodeEntries(bytes)]

/** The same one by one, for a caller that lets others work in between: a hundred thousand take 0.2 s. */
export function* decodeEntries(bytes: Uint8Array): Generator<ManifestEntry, void> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const directories = new Set<string>()
  let previous = ''
  let line = 0
  for (let start = 0; start < buffer.length; line++) {
    const end = buffer.indexOf(NEWLINE, start)
    if (end === -1) throw corrupt(line, 'the line does not end')
    const text = buffer.toString('utf8', start, end)
    start = end + 1
    if (line === 0) {
      if (text !== HEADER) throw corrupt(line, 'the header is not that of a manifest of version 1')
      continue
    }
    const entry = decodeEntry(text, line)
    const key = sortKey(entry.path)
    if (key <= previous) throw corrupt(line, 'the paths are not sorted')
    previous = key
    const slash = entry.path.lastIndexOf('/')
    if (slash !== -1 && !directories.has(entry.path.slice(0, slash))) throw corrupt(line, 'the entry lies in no directory')
    if (entry.type === 'directory') directories.add(entry.path)
    if (line > MANIFEST_LIMITS.entries) throw corrupt(line, `there are more than ${MANIFEST_LIMITS.entries} entries`)
    yield entry
  }
  if (line === 0) throw corrupt(line, 'it is empty')
}

function encodeEntry(entry: ManifestEntry): string {
  const { path, type, mode, size, mtime_ms, sha256, link_target } = entry
  return `${JSON.stringify({ path, type, mode, size, mtime_ms, sha256, link_target })}\n`
}

function decodeEntry(text: string, line: number): ManifestEntry {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw corrupt(line, 'the line is not JSON', error)
  }
  const parsed = ManifestEntry.safeParse(json)
  if (!parsed.success) throw corrupt(line, 'the line is no manifest entry', parsed.error)
  const problem = entryProblem(parsed.data)
  if (problem !== null) throw corrupt(line, problem)
  return parsed.data
}

function corrupt(line: number, problem: string, cause?: unknown): AutovibeError {
  return new AutovibeError('checkpoint.corrupt', `The manifest cannot be read: line ${line + 1}: ${problem}.`, {
    cause,
    fix: 'Use another checkpoint: autovibe checkpoint ls',
  })
}
