/** Ids by their beginning, as git takes commits: as many characters as only one thing has. */
import { AutovibeError, ID_PREFIXES, isId } from '@autovibe/contract'
import type { Autovibe, CallOptions, List } from '@autovibe/sdk'
import { plain, truncate } from './render/text.ts'

interface Kind {
  /** The command that shows the ids. */
  readonly shownBy: string
  /** All there is, newest first, with what tells one from another. */
  readonly list: (client: Autovibe, options: CallOptions) => AsyncIterable<{ readonly id: string; readonly about: string }>
}

const PAGE = { limit: 1000 }
const KINDS = {
  project: { shownBy: 'autovibe project list', list: (client, options) => each(client.projects.list(options), ({ name }) => name) },
  machine: {
    shownBy: 'autovibe ps --all',
    list: (client, options) => each(client.machines.list({ ...PAGE, all: true }, options), ({ name, state }) => `${name}, ${state}`),
  },
  run: {
    shownBy: 'autovibe ps --all',
    list: (client, options) => each(client.runs.list(PAGE, options), ({ machine_name, prompt }) => `${machine_name}, ${truncate(plain(prompt), 60)}`),
  },
  checkpoint: {
    shownBy: 'autovibe checkpoint list',
    list: (client, options) =>
      each(
        client.checkpoints.list(PAGE, options),
        ({ machine_name, trigger, step }) => `${machine_name}, ${trigger}${step === null ? '' : ` at step ${step}`}`,
      ),
  },
  machineArchive: {
    shownBy: 'autovibe machine archives',
    list: (client, options) => each(client.archives.list(PAGE, options), ({ machine_name, state }) => `${machine_name}, ${state}`),
  },
  budget: {
    shownBy: 'autovibe budget show',
    list: (client, options) => each(client.budgets.list(PAGE, options), ({ scope, scope_id }) => `${scope} ${scope_id}`),
  },
  operation: {
    shownBy: 'autovibe operation list',
    list: (client, options) => each(client.operations.list(PAGE, options), ({ kind, state }) => `${kind}, ${state}`),
  },
} satisfies Record<string, Kind>
type Word = keyof typeof KINDS
const WORDS = Object.keys(KINDS) as Word[]

const named = (word: Word): string => (word === 'machineArchive' ? 'archive' : word)

/** Fewer characters after the prefix say too little: the first ones of an id are its time. */
const SHORTEST = 4
const LOOKED_AT = 20_000
const CANDIDATES_SHOWN = 10

/** Whether the text is an id of this kind, or the beginning of one. */
export const canBeId = (kind: Word, text: string): boolean => isId(kind, text) || beginsOne(text) === kind

/** The id that begins so; any other text as it is. `not_found` when there is none, `request.invalid` with the candidates when there are several. */
export async function wholeId(client: Autovibe, text: string, options: CallOptions): Promise<string> {
  const word = beginsOne(text)
  if (word === undefined) return text
  const { list, shownBy }: Kind = KINDS[word]
  const candidates: { path: string; message: string }[] = []
  let looked = 0
  for await (const { id, about } of list(client, options)) {
    if (id.startsWith(text)) candidates.push({ path: id, message: about })
    // Newest first: what follows was made before anything that begins so.
    if (id < text || candidates.length > CANDIDATES_SHOWN || ++looked >= LOOKED_AT) break
  }
  const [first, ...others] = candidates
  if (first === undefined) throw new AutovibeError('not_found', `There is no ${named(word)} whose id begins with ${text}.`, { fix: shownBy })
  if (others.length === 0) return first.path
  const many = candidates.length > CANDIDATES_SHOWN ? `More than ${CANDIDATES_SHOWN}` : String(candidates.length)
  throw new AutovibeError('request.invalid', `${many} ids of ${named(word)}s begin with ${text}; write more of the one that is meant.`, {
    errors: candidates.slice(0, CANDIDATES_SHOWN),
    fix: shownBy,
  })
}

function beginsOne(text: string): Word | undefined {
  const [, prefix, body = ''] = /^([a-z]{3})_([0-9a-hjkmnp-tv-z]{1,25})$/.exec(text) ?? []
  return body.length < SHORTEST ? undefined : WORDS.find((word) => ID_PREFIXES[word] === prefix)
}

async function* each<T extends { readonly id: string }>(list: List<T>, about: (item: T) => string) {
  for await (const item of list) yield { id: item.id, about: about(item) }
}
