/**
 * Whom the gate lets in: for each machine the hashes of its invitation's secret and of the tokens that it was given for it, each together with that secret, in the database beside
 * the machines' own rows. Hashes suffice, and are good after a restart and after a rotation of the master key; the secrets themselves are nowhere in the Hub.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { ID_PREFIXES, isId, type MachineId } from '@autovibe/contract'
import type { Selectable } from 'kysely'
import type { Database } from '../../../database/database.ts'
import type { GateAdmissionsTable } from '../../../database/proxmox-tables.ts'

type Admission = Selectable<GateAdmissionsTable>

export interface Registered {
  readonly machineId: MachineId
  readonly token: string
  /** For this invitation. */
  readonly isFirst: boolean
}

/** What an invitation says of the gate. */
export interface GatePlace {
  readonly address: string
  readonly fingerprint: string
}

/** A machine is registered once for each invitation, and again when an answer was lost; the latest are good. */
export const KEYS_MAX = 16
const SECRET_BYTES = 24

export class Admissions {
  readonly #db: Database
  /** All of them: whoever knocks costs no look into the database, which only this process writes. */
  readonly #known: Map<MachineId, Admission>
  readonly #registering = new Set<MachineId>()
  #tail: Promise<unknown> = Promise.resolve()

  static async open(db: Database): Promise<Admissions> {
    const rows = await db.selectFrom('gate_admissions').selectAll().execute()
    return new Admissions(db, new Map(rows.map((row) => [row.machine_id, row])))
  }

  private constructor(db: Database, known: Map<MachineId, Admission>) {
    this.#db = db
    this.#known = known
  }

  /** The secret of a new invitation. */
  invite(machineId: MachineId, { address, fingerprint }: GatePlace): Promise<string> {
    return this.#alone(async () => {
      const secret = secretFor(machineId)
      const keys = this.#known.get(machineId)?.keys ?? []
      await this.#write({ machine_id: machineId, address, fingerprint, secret_sha256: sha256(secret), claim_sha256: null, keys })
      return secret
    })
  }

  /**
   * The machine and a new token; null for a secret that is none, or was used by another. `bound`: the token is good beside this secret alone, which a clone of the guest's disk
   * does not have.
   */
  async register(secret: string, claim: string, bound: boolean): Promise<Registered | null> {
    const machineId = machineOf(secret)
    // One at a time for each: a guest that asks without end makes no others wait.
    if (machineId === null || this.#registering.has(machineId)) return null
    this.#registering.add(machineId)
    try {
      return await this.#registered(machineId, secret, claim, bound)
    } finally {
      this.#registering.delete(machineId)
    }
  }

  #registered(machineId: MachineId, secret: string, claim: string, bound: boolean): Promise<Registered | null> {
    return this.#alone(async () => {
      const admission = this.#known.get(machineId)
      if (admission === undefined || !isSame(admission.secret_sha256, sha256(secret))) return null
      if (admission.claim_sha256 !== null && !isSame(admission.claim_sha256, sha256(claim))) return null
      const token = secretFor(machineId)
      const key = bound ? keyOf(token, secret) : sha256(token)
      await this.#write({ ...admission, claim_sha256: sha256(claim), keys: [...admission.keys, key].slice(-KEYS_MAX) })
      return { machineId, token, isFirst: admission.claim_sha256 === null }
    })
  }

  /** The machine whose token it is, with the secret beside which it is good; null when it is nobody's. */
  machineWith(token: string, secret: string | undefined): MachineId | null {
    const machineId = machineOf(token)
    const admission = machineId === null ? undefined : this.#known.get(machineId)
    const shown = [sha256(token), ...(secret === undefined ? [] : [keyOf(token, secret)])]
    // All are compared, whichever fits.
    const fits = (admission?.keys ?? []).filter((known) => shown.filter((key) => isSame(known, key)).length > 0)
    return fits.length > 0 ? machineId : null
  }

  /** Whether the latest invitation is this secret's. */
  isLatest(machineId: MachineId, secret: string): boolean {
    const admission = this.#known.get(machineId)
    return admission !== undefined && isSame(admission.secret_sha256, sha256(secret))
  }

  /** What the latest invitation says of the gate; null for a machine that was never invited. */
  placeTold(machineId: MachineId): GatePlace | null {
    return this.#known.get(machineId) ?? null
  }

  /** Nobody is let in for it any more. */
  forget(machineId: MachineId): Promise<void> {
    return this.#alone(async () => {
      await this.#db.deleteFrom('gate_admissions').where('machine_id', '=', machineId).execute()
      this.#known.delete(machineId)
    })
  }

  async #write(admission: Admission): Promise<void> {
    const { machine_id: _, ...changed } = admission
    await this.#db
      .insertInto('gate_admissions')
      .values(admission)
      .onConflict((conflict) => conflict.column('machine_id').doUpdateSet(changed))
      .execute()
    this.#known.set(admission.machine_id, admission)
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.catch(() => undefined)
    return done
  }
}

/** Names the machine, so that its row is found without a look at all others. */
const secretFor = (machineId: MachineId): string => `${machineId.slice(ID_PREFIXES.machine.length + 1)}.${randomBytes(SECRET_BYTES).toString('base64url')}`

function machineOf(secret: string): MachineId | null {
  const id = `${ID_PREFIXES.machine}_${secret.split('.')[0] ?? ''}`
  return isId('machine', id) ? id : null
}

/** Neither has a blank in it. */
const keyOf = (token: string, secret: string): string => sha256(`${token} ${secret}`)

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

const isSame = (one: string, other: string): boolean => timingSafeEqual(Buffer.from(one, 'hex'), Buffer.from(other, 'hex'))
