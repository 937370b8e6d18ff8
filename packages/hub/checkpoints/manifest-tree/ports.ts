/** How a manifest's tree reaches its nodes: two functions that whoever keeps objects gives. */

/** The bytes of a node; rejects with `checkpoint.corrupt` when it is missing or does not hash to its name. */
export type ReadNode = (sha256: string) => Promise<Uint8Array>

/** Keeps the bytes of a node and answers their SHA-256 in hex. To keep them twice changes nothing. */
export type WriteNode = (bytes: Uint8Array) => Promise<string>
