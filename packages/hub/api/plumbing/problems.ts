/** Every error leaves the API as one form: RFC 9457 problem+json, with a code, a sentence and what to do. */
import { AutovibeError, asAutovibeError, type Problem } from '@autovibe/contract'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { ROUTES } from '../../security/roles.ts'
import type { Api } from './deps.ts'

const MEDIA_TYPE = 'application/problem+json'

export function registerProblems(app: Api): void {
  app.setErrorHandler((thrown, request, reply) => answerProblem(request, reply, thrown))
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? ''
    const methods = methodsOf(path)
    if (methods.length === 0) {
      const error = new AutovibeError('not_found', `There is nothing at ${request.method} ${shorten(path)}.`, {
        fix: 'GET /v1/openapi.json describes every path.',
      })
      return answerProblem(request, reply, error)
    }
    reply.header('allow', methods.join(', '))
    const error = new AutovibeError('request.method_not_allowed', `${shorten(path)} does not take ${request.method}.`, {
      fix: `It takes ${methods.join(', ')}.`,
    })
    return answerProblem(request, reply, error)
  })
}

/** Answers with the error; what is ours to mend is logged with its cause, which never leaves the Hub. */
export function answerProblem(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = translate(thrown)
  const problem = error.toProblem(request.id)
  if (problem.status >= 500) request.log.error({ err: error.cause ?? error, code: error.code, internal: error.internal }, error.message)
  // Also here, for a path so malformed that no hook ran.
  reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store' })
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  if (problem.status === 429 || problem.status === 503) reply.header('retry-after', '1')
  return reply
    .code(problem.status)
    .type(MEDIA_TYPE)
    .serializer((body: Problem) => JSON.stringify(body))
    .send(problem)
}

/** Any thrown value as our error. */
export function translate(thrown: unknown): AutovibeError {
  if (thrown instanceof AutovibeError) return thrown
  if (hasZodFastifySchemaValidationErrors(thrown)) return invalidRequest(thrown as unknown as FastifyError & { validationContext?: string })
  return fromFramework(thrown) ?? fromDatabase(thrown) ?? asAutovibeError(thrown)
}

function invalidRequest(error: FastifyError & { validationContext?: string }): AutovibeError {
  const where = ({ querystring: 'query', params: 'path' } as Record<string, string>)[error.validationContext ?? ''] ?? error.validationContext ?? 'body'
  const errors = (error.validation ?? []).slice(0, 50).map((issue) => ({
    path: [where, ...issue.instancePath.split('/').filter(Boolean)].join('.'),
    message: issue.message ?? 'is not valid',
  }))
  const first = errors[0]
  return new AutovibeError('request.invalid', first ? `${first.path}: ${first.message}` : 'The request is not valid.', {
    errors,
    fix: 'Correct the members named in errors; GET /v1/openapi.json describes what is expected.',
  })
}

function fromFramework(thrown: unknown): AutovibeError | undefined {
  const { code, statusCode, message } = thrown as Partial<FastifyError>
  if (typeof code !== 'string' || !code.startsWith('FST_')) return undefined
  if (statusCode === 413)
    return new AutovibeError('request.too_large', 'The body is larger than this path takes.', {
      fix: 'Send at most 1 MiB (2 GiB for the source of a project).',
    })
  if (statusCode === 415)
    return new AutovibeError('request.media_type', 'The body is of a type that this path does not take.', {
      fix: 'Send application/json (application/x-git-bundle for the source of a project).',
    })
  if (statusCode === undefined || statusCode >= 500) return undefined
  return new AutovibeError('request.invalid', message ?? 'The request is not valid.', { fix: 'GET /v1/openapi.json describes what is expected.' })
}

/** Class 08, 53, 57P and the errors of a socket: the server is away or full, the same request may succeed later; 40: it lost a race. */
const AWAY = /^(08...|53...|57P..|40001|40P01|ECONNREFUSED|ECONNRESET|ENOENT|EPIPE)$/

function fromDatabase(thrown: unknown): AutovibeError | undefined {
  if (!(thrown instanceof Error)) return undefined
  const { code, syscall } = thrown as NodeJS.ErrnoException
  // PostgreSQL says it by its code, a file by its errno.
  if (code === '53100' || code === 'ENOSPC') {
    return new AutovibeError('substrate.disk_full', 'The disk of the Hub is full.', { cause: thrown, fix: 'Free some space, then try again.' })
  }
  const isAway = typeof code === 'string' && AWAY.test(code) && (code !== 'ENOENT' || syscall === 'connect')
  const isLost = /^(Connection terminated|timeout exceeded when trying to connect)/.test(thrown.message)
  if (!isAway && !isLost) return undefined
  return new AutovibeError('hub.database', 'The database of the Hub does not answer.', {
    cause: thrown,
    internal: thrown.message,
    fix: 'Try again; autovibe doctor shows whether the database runs.',
  })
}

const PATTERNS = Object.keys(ROUTES).map((route) => {
  const [method = '', pattern = ''] = route.split(' ')
  return { method, path: new RegExp(`^${pattern.replaceAll('.', '\\.').replace(/:[a-z]+/g, '[^/]+')}$`) }
})

function methodsOf(path: string): string[] {
  return [...new Set(PATTERNS.filter((route) => route.path.test(path)).map((route) => route.method))]
}

const shorten = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

/** PostgreSQL refused a row because another has its name. */
export const isUniqueViolation = (thrown: unknown): boolean => (thrown as { code?: unknown } | null)?.code === '23505'
