/** Fetches the contents of changed files into a scratch folder, each checked against the size and hash its manifest entry names. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'

/** The bytes of one manifest path of one checkpoint; anything may come. */
export type ReadContent = (checkpointId: string, path: string) => Promise<AsyncIterable<Uint8Array>>

export interface Wanted {
  readonly checkpointId: string
  readonly path: string
  readonly sha256: string
  readonly size: number
}

export class Contents {
  readonly #folder: string
  readonly #read: ReadContent
  #count = 0

  constructor(folder: string, read: ReadContent) {
    this.#folder = folder
    this.#read = read
  }

  /** A file of its own with the content; `checkpoint.corrupt` when other bytes come than the manifest promised. */
  async fetch(wanted: Wanted): Promise<string> {
    const target = this.newFile()
    const hash = createHash('sha256')
    let size = 0
    const file = await open(target, 'wx', 0o600)
    try {
      for await (const chunk of await this.#read(wanted.checkpointId, wanted.path)) {
        size += chunk.length
        if (size > wanted.size) throw corrupt(wanted, `more than the ${wanted.size} bytes of its manifest`)
        hash.update(chunk)
        await file.writeFile(chunk)
      }
    } finally {
      await file.close()
    }
    if (size !== wanted.size) throw corrupt(wanted, `${size} bytes instead of ${wanted.size}`)
    if (hash.digest('hex') !== wanted.sha256) throw corrupt(wanted, 'a content with another SHA-256 than its manifest')
    return target
  }

  newFile(): string {
    return join(this.#folder, `content-${this.#count++}`)
  }
}

const corrupt = (wanted: Wanted, what: string): AutovibeError =>
  new AutovibeError('checkpoint.corrupt', `The Hub answered ${wanted.path} of ${wanted.checkpointId} with ${what}. Nothing was changed.`, {
    fix: `autovibe checkpoint show ${wanted.checkpointId}`,
  })
