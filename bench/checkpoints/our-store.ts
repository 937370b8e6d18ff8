/** Our store as a contender: the process of ours.ts, a new one for each phase. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeptTree } from '../../packages/hub/checkpoints/store.ts'
import { type Child, startChild } from '../support/child.ts'
import type { Contender, Place, Taken } from './contender.ts'
import type { Answer, Question } from './ours.ts'

export interface OurStore extends Contender, Disposable {
  /** Of each opening of the store. */
  readonly openings: readonly Taken[]
  /** As a capture of which nobody says what changed: every file of the tree is read and hashed. */
  captureWhole(): Promise<Taken>
}

export async function openOurs({ tree, folder }: Place): Promise<OurStore> {
  const dataDir = join(folder, 'data')
  await mkdir(dataDir)
  const trees: KeptTree[] = []
  const openings: Taken[] = []
  let child: Child<Question, Answer> | null = null
  const ask = (question: Question): Promise<Answer> => {
    if (child === null) throw new Error('no phase has begun')
    return child.ask(question)
  }
  const capture = async (parent: KeptTree | null, paths: readonly string[] | null): Promise<Taken> => {
    const { kept, ...taken } = await ask({ do: 'capture', tree, parent, paths })
    if (kept !== null) trees.push(kept)
    return taken
  }
  return {
    name: 'ours',
    storeFolder: dataDir,
    openings,
    async begin() {
      child?.[Symbol.dispose]()
      child = startChild<Question, Answer>(new URL('./ours.ts', import.meta.url))
      openings.push(await ask({ do: 'open', dataDir }))
    },
    capture: (paths) => capture(trees.at(-1) ?? null, paths),
    captureWhole: () => capture(null, null),
    restore: (to) => ask({ do: 'restore', manifest: trees.at(-1)?.manifestSha256 ?? '', to }),
    verify: () => ask({ do: 'verify', manifests: trees.map(({ manifestSha256 }) => manifestSha256) }),
    [Symbol.dispose]: () => child?.[Symbol.dispose](),
  }
}
