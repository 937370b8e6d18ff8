/**
 * Whom the gate lets in: for each machine one file with the hashes of its invitation's secret and of the tokens that it was given for it. Hashes suffice, and are good after a restart
 * and after a rotation of the master key; the secrets are in no file of the Hub.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ID_PREFIXES, isId, type MachineId, Sha256 } from '@autovibe/contract'
import { z } from 'zod'

const Admission = z.object({
  version: z.literal(1),
  /** SHA-256 of that of the latest invitation. */
  secret: Sha256,
  /** SHA-256 of what the guest that used the secret had made before; only the same may ask again. */
  claim: Sha256.nullable(),
  /** SHA-256 of tokens, the newest last: a disk may be put back to an earlier one. */
  tokens: z.array(Sha256),
})
type Admission = z.infer<typeof Admission>

/** A machine is registered once for each invitation, and invited anew only when its VM is made anew. */
const TOKENS_MAX = 16
const SECRET_BYTES = 24

export class Admissions {
  readonly #folder: string
  /** What was read or written last; only this process writes. */
  readonly #known = new Map<MachineId, Admission>()
  #changes = 0
  #tail: Promise<unknown> = Promise.resolve()
  #written = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The secret of a new invitation. */
  invite(machineId: MachineId): Promise<string> {
    return this.#alone(async () => {
      const secret = secretFor(machineId)
      const tokens = (await this.#read(machineId))?.tokens ?? []
      await this.#write(machineId, { version: 1, secret: sha256(secret), claim: null, tokens })
      return secret
    })
  }

  /** The machine and a new token; null for a secret that is none, or was used by another. */
  register(secret: string, claim: string): Promise<{ readonly machineId: MachineId; readonly token: string } | null> {
    return this.#alone(async () => {
      const machineId = machineOf(secret)
      const admission = machineId === null ? null : await this.#read(machineId)
      if (machineId === null || admission === null || !isSame(admission.secret, sha256(secret))) return null
      if (admission.claim !== null && !isSame(admission.claim, sha256(claim))) return null
      const token = secretFor(machineId)
      await this.#write(machineId, { ...admission, claim: sha256(claim), tokens: [...admission.tokens, sha256(token)].slice(-TOKENS_MAX) })
      return { machineId, token }
    })
  }

  /** The machine whose token it is; null when it is nobody's. */
  async machineWith(token: string): Promise<MachineId | null> {
    const machineId = machineOf(token)
    const admission = machineId === null ? null : await this.#read(machineId)
    const hash = sha256(token)
    // All are compared, whichever fits.
    return admission !== null && admission.tokens.filter((known) => isSame(known, hash)).length > 0 ? machineId : null
  }

  /** Nobody is let in for it any more. */
  forget(machineId: MachineId): Promise<void> {
    return this.#alone(async () => {
      this.#changes += 1
      await rm(this.#file(machineId), { force: true })
      await this.#syncFolder()
      this.#known.delete(machineId)
      this.#changes += 1
    })
  }

  async #read(machineId: MachineId): Promise<Admission | null> {
    const known = this.#known.get(machineId)
    if (known !== undefined) return known
    const changes = this.#changes
    try {
      const admission = Admission.parse(JSON.parse(await readFile(this.#file(machineId), 'utf8')))
      // What was read while it was being removed must not be remembered.
      if (changes === this.#changes) this.#known.set(machineId, admission)
      return admission
    } catch (error) {
      // Not remembered: anybody may ask for machines that never were.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  async #write(machineId: MachineId, admission: Admission): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const made = `${this.#file(machineId)}.${process.pid}-${++this.#written}`
    try {
      await using file = await open(made, 'wx', 0o600)
      await file.writeFile(JSON.stringify(admission))
      await file.sync()
      await rename(made, this.#file(machineId))
    } finally {
      await rm(made, { force: true })
    }
    await this.#syncFolder()
    this.#known.set(machineId, admission)
  }

  async #syncFolder(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await using folder = await open(this.#folder)
    await folder.sync()
  }

  #file(machineId: MachineId): string {
    return join(this.#folder, `${machineId}.json`)
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.catch(() => undefined)
    return done
  }
}

/** Names the machine, so that its file is found without a look at all others. */
const secretFor = (machineId: MachineId): string => `${machineId.slice(ID_PREFIXES.machine.length + 1)}.${randomBytes(SECRET_BYTES).toString('base64url')}`

function machineOf(secret: string): MachineId | null {
  const id = `${ID_PREFIXES.machine}_${secret.split('.')[0] ?? ''}`
  return isId('machine', id) ? id : null
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

const isSame = (one: string, other: string): boolean => timingSafeEqual(Buffer.from(one, 'hex'), Buffer.from(other, 'hex'))
