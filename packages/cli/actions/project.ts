/** Lists and shows projects, and sets which models they may call and with whose key. */
import { AutovibeError, type ProjectSettings } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { ProjectKeyOptions, ProjectModelsOptions } from '../commands/project.ts'
import type { Context } from '../context.ts'
import { readStdin } from '../local/stdin.ts'
import { modelsOf, renderProject, renderProjects } from '../render/project.ts'
import { plain } from '../render/text.ts'
import { wholeId } from '../short-ids.ts'

const SHOWN = 1000
const KEY_BYTES_MAX = 1000

export const projectList: Action<unknown> = async (context) => {
  const client = await context.connect()
  const projects = await client.projects.list({ signal: context.signal }).take(SHOWN)
  context.out.answer({ projects }, renderProjects(projects, Date.now(), context.out.paint))
  return 0
}

export const projectShow: Action<unknown> = async (context, [ref = '']) => {
  const client = await context.connect()
  const options = { signal: context.signal }
  const project = await findProject(client, ref, options)
  const settings = await client.projects.settings(project.id, options)
  context.out.answer({ project, settings }, renderProject(project, settings, Date.now(), context.out.paint))
  context.out.next([`autovibe budget show project:${project.name}`])
  return 0
}

export const projectModels: Action<ProjectModelsOptions> = async (context, [ref = ''], { allow, any = false }) => {
  if (allow !== undefined && any)
    throw new AutovibeError('request.invalid', 'Of --allow and --any only one can be meant.', { fix: 'autovibe project models --help' })
  const client = await context.connect()
  const options = { signal: context.signal }
  const { id, name } = await findProject(client, ref, options)
  const isChange = allow !== undefined || any
  const settings = isChange ? await client.projects.allowModels(id, any ? null : [...new Set(allow)], options) : await client.projects.settings(id, options)
  answer(context, settings, `project ${name}: ${modelsOf(settings)}`, isChange)
  return 0
}

export const projectKey: Action<ProjectKeyOptions> = async (context, [ref = '', provider = ''], { keyStdin = false, remove = false }) => {
  const again = `autovibe project key ${ref} ${provider} --key-stdin < FILE`
  if (keyStdin === remove)
    throw new AutovibeError('request.invalid', `${remove ? 'Of --key-stdin and --remove only one can be meant.' : 'It takes --key-stdin or --remove.'}`, {
      fix: again,
    })
  const key = keyStdin ? (await readStdin(KEY_BYTES_MAX)).trim() : ''
  if (keyStdin && key === '') throw new AutovibeError('request.invalid', 'There was no key on standard input.', { fix: again })
  const client = await context.connect()
  const options = { signal: context.signal }
  const { id, name } = await findProject(client, ref, options)
  const settings = remove
    ? await client.projects.deleteKey(id, provider, options)
    : await client.projects.putKey(id, provider, key, options).catch(noProvider(provider))
  const kept = settings.keys.find((each) => each.provider === provider)
  answer(
    context,
    settings,
    kept
      ? `project ${name}: calls ${provider} with its own key, at ${plain(kept.origin)} alone`
      : `project ${name}: calls ${plain(provider)} with the key of the Hub`,
    true,
  )
  return 0
}

/** By its name, its id, or a beginning of that. */
export async function findProject(client: Autovibe, given: string, options: CallOptions) {
  const ref = await wholeId(client, given.replace(/^project:/, ''), options)
  return client.projects.get(ref, options).catch((thrown: unknown) => {
    if (!(thrown instanceof AutovibeError) || (thrown.code !== 'not_found' && thrown.code !== 'request.invalid')) throw thrown
    throw new AutovibeError('not_found', `There is no project ${JSON.stringify(ref)}.`, { cause: thrown, fix: 'autovibe project list' })
  })
}

/** What the Hub says of a provider that it does not know, with the command that helps. */
export const noProvider =
  (name: string) =>
  (thrown: unknown): never => {
    if (!(thrown instanceof AutovibeError) || thrown.code !== 'not_found') throw thrown
    throw new AutovibeError('not_found', `There is no provider ${JSON.stringify(name)}.`, { cause: thrown, fix: 'autovibe provider list' })
  }

/** What is set now, in one sentence. */
export function answer({ out }: Context, settings: ProjectSettings, sentence: string, isChange: boolean): void {
  out.answer({ settings }, [`${isChange ? `${out.paint.green('✓')} ` : ''}${sentence}.`])
}
