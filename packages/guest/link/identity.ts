/** Who this guest is to its Hub: what it registered for, kept on the disk, and void as soon as the VM is told of another gate, or is somebody else's, which a clone of that disk finds out by its invitation. */
import { createHash, randomBytes } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  AutovibeError,
  decodeInvitation,
  type GuestInvitation,
  GuestSecret,
  ID_PREFIXES,
  GuestInvitation as InvitationSchema,
  MachineId,
} from '@autovibe/contract'
import { z } from 'zod'
import { dial, type Gate } from './dial.ts'

export interface Identity {
  readonly machineId: MachineId
  readonly token: string
  /** Of the invitation, without which the token is nothing. Comes from the firmware and goes to no disk. */
  readonly secret: string
  readonly gate: Gate
}

const IdentityDocument = z.object({
  version: z.literal(1),
  /** SHA-256 of the invitation that it is for. */
  invitation: z.string(),
  /** Made before it registers. */
  claim: z.string(),
  gate: InvitationSchema.pick({ address: true, fingerprint: true }),
  /** Null until it is registered. */
  registered: z.object({ machine: MachineId, token: GuestSecret }).nullable(),
})
type IdentityDocument = z.infer<typeof IdentityDocument>

export interface IdentityOptions {
  /** Of the state. */
  readonly folder: string
  readonly invitationFile: string
  /** Called once for each new invitation, before anything is dialed: the system becomes another. */
  readonly rekey: (invitation: string) => Promise<void>
}

export class Identities {
  readonly #options: IdentityOptions
  #known: IdentityDocument | null = null
  #secret = ''

  constructor(options: IdentityOptions) {
    this.#options = options
  }

  /** Registers where that has not been done yet. */
  async current(signal: AbortSignal): Promise<Identity> {
    const { document, invitation } = await this.prepare()
    const known = document.registered === null ? await this.#register(document, invitation, signal) : document
    this.#known = known
    this.#secret = invitation.secret
    return this.registered() ?? missing()
  }

  /** Null while there is none: for what should not wait. */
  registered(): Identity | null {
    const known = this.#known
    if (known === null || known.registered === null) return null
    return { machineId: known.registered.machine, token: known.registered.token, secret: this.#secret, gate: known.gate }
  }

  /** The gate does not know the token, as after the database came from a backup; with the same claim it gives another. */
  doubt(): void {
    if (this.#known !== null) this.#known = { ...this.#known, registered: null }
  }

  /** The VM is who its invitation says, with everything that this takes but the Hub's consent. */
  async prepare(): Promise<{ readonly document: IdentityDocument; readonly invitation: GuestInvitation }> {
    const text = await this.#invitation()
    const invitation = decodeInvitation(text)
    if (invitation === null) throw new AutovibeError('substrate.failed', 'The VM has no invitation of a Hub.', { fix: 'Start it through the Hub.' })
    const sha256 = createHash('sha256').update(text).digest('hex')
    const before = this.#known ?? (await this.#read())
    if (before !== null && before.invitation === sha256) return { document: before, invitation }
    // The same machine that is told of another gate is nobody new, and only registers again.
    if (before?.registered?.machine !== machineOf(invitation)) {
      // What the disk's former owner had goes first: whoever is cut off here begins anew.
      await rm(this.#file, { force: true })
      await this.#options.rekey(text)
    }
    const { address, fingerprint } = invitation
    const document: IdentityDocument = {
      version: 1,
      invitation: sha256,
      claim: randomBytes(32).toString('base64url'),
      gate: { address, fingerprint },
      registered: null,
    }
    await this.#write(document)
    return { document, invitation }
  }

  async #register(document: IdentityDocument, { secret }: GuestInvitation, signal: AbortSignal): Promise<IdentityDocument> {
    const { socket, welcome } = await dial(document.gate, { wants: 'register', version: 2, secret, claim: document.claim }, signal)
    socket.on('error', () => undefined)
    socket.destroy()
    if (welcome.is !== 'registered') throw new AutovibeError('auth.forbidden', 'The Hub’s gate does not accept the invitation.')
    const registered = { ...document, registered: { machine: welcome.machine, token: welcome.token } }
    await this.#write(registered)
    return registered
  }

  /** The firmware ends what it tells with a line end, or fills it up with blanks. */
  async #invitation(): Promise<string> {
    return (await readFile(this.#options.invitationFile, 'latin1')).trim()
  }

  get #file(): string {
    return join(this.#options.folder, 'identity.json')
  }

  async #read(): Promise<IdentityDocument | null> {
    try {
      return IdentityDocument.parse(JSON.parse(await readFile(this.#file, 'utf8')))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  async #write(document: IdentityDocument): Promise<void> {
    const made = `${this.#file}.new`
    await rm(made, { force: true })
    const file = await open(made, 'wx', 0o600)
    try {
      await file.writeFile(JSON.stringify(document))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(made, this.#file)
    const folder = await open(dirname(this.#file))
    await folder.sync().finally(() => folder.close())
  }
}

/** A secret begins with the body of the id of the machine that it is for. */
const machineOf = ({ secret }: GuestInvitation): string => `${ID_PREFIXES.machine}_${secret.split('.')[0]}`

function missing(): never {
  throw new AutovibeError('substrate.failed', 'The guest is not registered.')
}
