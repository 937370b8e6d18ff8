/** What machines are made on: this host, and clusters that a person has brought. */
import type {
  AskGrants,
  AskTemplateGrants,
  BuildTemplate,
  CreateSubstrate,
  DoorCertificate,
  Grants,
  ShownSubstrate,
  Substrate,
  SubstrateProbe,
  TemplateGrants,
  UpdateSubstrate,
  UsedSubstrate,
} from '@autovibe/contract'
import { type List, list } from './pages.ts'
import { readTemplateEvents, type TemplateOutcome, type TemplateProgress } from './substrate-templates.ts'
import type { CallOptions, Transport } from './transport.ts'

export class Substrates {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(options?: CallOptions): List<Substrate> {
    return list(this.#transport, '/substrates', {}, options)
  }

  /** With what stands in its way now. */
  get(name: string, options?: CallOptions): Promise<ShownSubstrate> {
    return this.#transport.json('GET', at(name), options)
  }

  /** The Hub remembers it, and does nothing with it yet. */
  create(substrate: CreateSubstrate, options?: CallOptions): Promise<Substrate> {
    return this.#transport.json('POST', '/substrates', { ...options, body: substrate })
  }

  /** Changes it as it was read; `request.precondition_failed` when it has changed since. */
  update(substrate: Pick<Substrate, 'name' | 'version'>, change: UpdateSubstrate, options?: CallOptions): Promise<Substrate> {
    return this.#transport.json('PATCH', at(substrate.name), { ...options, body: change, headers: { 'if-match': `"${substrate.version}"` } })
  }

  /** Forgets it with its token; `conflict.state` while the Hub works with it. The answer is what it was. */
  remove(name: string, options?: CallOptions): Promise<Substrate> {
    return this.#transport.json('DELETE', at(name), options)
  }

  /** From the next start of the Hub on; `local` is this host. `conflict.state` while machines live elsewhere. */
  use(name: string, options?: CallOptions): Promise<UsedSubstrate> {
    return this.#transport.json('POST', `${at(name)}/use`, { ...options, body: {} })
  }

  /** Has the Hub look at everything, for a minute and a half at most; nothing is changed on the cluster. */
  probe(name: string, options?: CallOptions): Promise<SubstrateProbe> {
    return this.#transport.json('POST', `${at(name)}/probe`, { ...options, body: {} })
  }

  /** What a door shows before anything is sent to it, asked once. */
  certificate(url: string, options?: CallOptions): Promise<DoorCertificate> {
    return this.#transport.json('POST', '/substrates/certificate', { ...options, body: { url }, attempts: 1 })
  }

  /** The lines with which an administrator makes a token with the least privileges. */
  grants(asked: AskGrants, options?: CallOptions): Promise<Grants> {
    return this.#transport.json('POST', '/substrates/grants', { ...options, body: asked })
  }

  /** The lines that make a token for the making of a template, and take it away again. */
  templateGrants(name: string, asked: AskTemplateGrants, options?: CallOptions): Promise<TemplateGrants> {
    return this.#transport.json('POST', `${at(name)}/template/grants`, { ...options, body: asked })
  }

  /** Makes a template, or goes on making it, for some minutes; sent once, for the same again is what goes on. */
  async buildTemplate(name: string, asked: BuildTemplate, onProgress: (progress: TemplateProgress) => void, options?: CallOptions): Promise<TemplateOutcome> {
    const response = await this.#transport.send('POST', `${at(name)}/template`, { ...options, body: asked, attempts: 1 })
    return readTemplateEvents(response.body, onProgress, options?.signal)
  }
}

const at = (name: string): string => `/substrates/${encodeURIComponent(name)}`
