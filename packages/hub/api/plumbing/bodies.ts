/** How bodies are read: bounded JSON without what PostgreSQL cannot keep or nobody can read again, or a stream for the source of a project. */
import { refusalOfBody, unstorable } from '../../database/storable.ts'
import type { Api } from './deps.ts'

export const JSON_BYTES_MAX = 1024 * 1024
/** A client that does not know the type of a bundle may send it as plain bytes. */
export const BUNDLE_TYPES = ['application/x-git-bundle', 'application/octet-stream']

/** What may be packed is told by its own first bytes. */
export const ARCHIVE_TYPES = ['application/x-tar', 'application/gzip', 'application/zstd', 'application/octet-stream']

export function registerBodies(app: Api): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: JSON_BYTES_MAX }, (request, text, done) => {
    if (text === '') return done(null, undefined)
    void parseJson(request, String(text), (error: Error | null, value?: unknown) => {
      const refusal = error ?? refusalOfBody(value)
      if (refusal) done(refusal)
      else done(null, value)
    })
  })
  app.addContentTypeParser([...new Set([...BUNDLE_TYPES, ...ARCHIVE_TYPES])], (_request, payload, done) => done(null, payload))

  app.addHook('onRequest', async (request) => {
    if (request.url.includes('%00')) throw unstorable('path')
  })
  // A POST without a body means one without members, so that `curl -X POST …/stop` works.
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method === 'POST') request.body = {}
  })
}
