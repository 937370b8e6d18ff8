/**
 * The port to where a store keeps its bytes: named objects that are written whole, never changed, and listed. Names are made by us from ids and hex digits alone, with `/` between parts.
 * What was put can be read and is listed from then on, by everyone who shares the place. Errors are `AutovibeError`; `retryable` says whether the same call may succeed later.
 */

export interface Listed {
  readonly name: string
  readonly bytes: number
}

/** Bytes in one or several buffers, which belong together in this order and must not change meanwhile. */
export type Bytes = Uint8Array | readonly Uint8Array[]

export interface PutOptions {
  /** Do nothing when there is one of this name already; of two who try at once, one wins. */
  readonly ifAbsent?: boolean
  /** It need not outlive a power cut. */
  readonly fleeting?: boolean
}

export interface Range {
  readonly offset: number
  readonly length: number
}

export interface Backend {
  /** What a person knows the place by, for messages. */
  readonly place: string
  /** True when it was written, false when `ifAbsent` and it was there. Whole and durable when this resolves. When it rejects, nothing of it can be seen under its name, except that a place far away whose answer was lost (`substrate.unavailable`) may have it whole. */
  put(name: string, bytes: Bytes, options?: PutOptions): Promise<boolean>
  /** The bytes, null when there is none of this name. A range that reaches beyond the end gives fewer bytes; one with a negative offset counts from the end. */
  get(name: string, range?: Range): Promise<Buffer | null>
  /** All whose names begin with this folder's, in no order. */
  list(folder: string): AsyncIterable<Listed>
  /** One that is not there is no error. */
  delete(name: string): Promise<void>
}
