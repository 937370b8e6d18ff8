/** How bodies are read: bounded JSON without what PostgreSQL cannot keep, or a stream for the source of a project. */
import { AutovibeError } from '@autovibe/contract'
import type { Api } from './deps.ts'

export const JSON_BYTES_MAX = 1024 * 1024
/** A client that does not know the type of a bundle may send it as plain bytes. */
export const BUNDLE_TYPES = ['application/x-git-bundle', 'application/octet-stream']

export function registerBodies(app: Api): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: JSON_BYTES_MAX }, (request, text, done) => {
    if (text === '') return done(null, undefined)
    void parseJson(request, String(text), (error: Error | null, value?: unknown) => {
      if (error || isStorable(value)) done(error, value)
      else done(unstorable('body'))
    })
  })
  app.addContentTypeParser(BUNDLE_TYPES, (_request, payload, done) => done(null, payload))

  app.addHook('onRequest', async (request) => {
    if (request.url.includes('%00')) throw unstorable('path')
  })
  // A POST without a body means one without members, so that `curl -X POST …/stop` works.
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method === 'POST') request.body = {}
  })
}

/** PostgreSQL keeps every text but one with a NUL or half a surrogate pair; refused here, it cannot fail in the middle of a change. */
function isStorable(value: unknown): boolean {
  // Not recursive: a mebibyte of brackets is deeper than the stack.
  const left = [value]
  while (left.length > 0) {
    const item = left.pop()
    if (typeof item === 'string' && (item.includes('\0') || !item.isWellFormed())) return false
    if (typeof item === 'object' && item !== null) for (const [name, member] of Object.entries(item)) left.push(name, member)
  }
  return true
}

function unstorable(where: string): AutovibeError {
  return new AutovibeError('request.invalid', `The ${where} holds a character that cannot be stored (NUL, or half of a surrogate pair).`, {
    fix: 'Leave it out.',
  })
}
