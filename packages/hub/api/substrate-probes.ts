/** `/v1/substrates/…`: looking at a cluster before it is used: its certificate, what its token must be given, and whether all is as it must be. Nothing is changed there. */
import { AskCertificate, AskGrants, AutovibeError, DoorCertificate, type Finding, Grants, ProxmoxConfig, SubstrateProbe } from '@autovibe/contract'
import type { Database } from '../database/database.ts'
import { type Secrets, substrateTokenContext } from '../security/secrets.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { readSubstrate } from './read/substrates.ts'
import { SubstratePath } from './substrates.ts'

const tags = ['substrates']
/** Of a whole probe: nodes that do not answer are waited for one beside the other. */
const PROBE_MS = 90_000
const CERTIFICATE_MS = 10_000

export function registerSubstrateProbes(app: Api, context: ApiContext): void {
  const { db, secrets, proxmox, closing } = context
  /** By name: whoever asks while one is under way gets that. */
  const underWay = new Map<string, Promise<SubstrateProbe>>()

  app.post(
    '/v1/substrates/certificate',
    {
      schema: {
        tags,
        operationId: 'askCertificate',
        summary: 'See the certificate that a cluster shows',
        description: 'Nothing is sent to it. Whether it is the right one, only a person can tell, by comparing it with what the node itself says.',
        body: AskCertificate.strict(),
        response: { 200: DoorCertificate },
      },
    },
    (request) => proxmox.certificate(request.body.url, AbortSignal.any([closing, AbortSignal.timeout(CERTIFICATE_MS)])),
  )

  app.post(
    '/v1/substrates/grants',
    {
      schema: {
        tags,
        operationId: 'askGrants',
        summary: 'See the lines that make a token with the least privileges',
        description: 'An administrator types them on a node of the cluster, once.',
        body: AskGrants.strict(),
        response: { 200: Grants },
      },
    },
    async (request) => proxmox.grants(request.body),
  )

  app.post(
    '/v1/substrates/:substrate/probe',
    {
      schema: {
        tags,
        operationId: 'probeSubstrate',
        summary: 'Look whether a cluster is as it must be',
        description: 'Reads, and changes nothing. Takes a minute and a half at most.',
        params: SubstratePath,
        response: { 200: SubstrateProbe },
      },
    },
    (request) => {
      const { substrate: name } = request.params
      const probe = underWay.get(name) ?? begin(name)
      underWay.set(name, probe)
      return probe
    },
  )

  async function begin(name: string): Promise<SubstrateProbe> {
    try {
      const findings = await proxmox.probe(await opened(db, secrets, name), AbortSignal.any([closing, AbortSignal.timeout(PROBE_MS)]))
      return { name, status: worstOf(findings), findings: [...findings] }
    } finally {
      underWay.delete(name)
    }
  }
}

async function opened(db: Database, secrets: Secrets, name: string) {
  // The refusals of a name that is not there.
  const substrate = await readSubstrate(db, name)
  if (substrate.kind === 'local') throw new AutovibeError('conflict.state', 'This host is looked at by doctor.', { fix: 'autovibe doctor' })
  const row = await db.selectFrom('substrates').select(['config', 'token_sealed', 'serves']).where('name', '=', name).executeTakeFirstOrThrow()
  return { name, config: ProxmoxConfig.parse(row.config), tokenSecret: secrets.open(row.token_sealed, substrateTokenContext(name)), serves: row.serves }
}

function worstOf(findings: readonly Finding[]): Finding['status'] {
  const has = (status: Finding['status']): boolean => findings.some((finding) => finding.status === status)
  return has('failed') ? 'failed' : has('warning') ? 'warning' : 'ok'
}
