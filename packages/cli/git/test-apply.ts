/** For tests: applies what a machine made to a real checkout, and proves of a refusal that nothing at all was touched. */
import assert from 'node:assert/strict'
import { AutovibeError } from '@autovibe/contract'
import { applyToCheckout } from './apply.ts'
import { openRepository } from './repository.ts'
import { type Files, makeDiff, type TestRepository } from './testing.ts'

/** Applies what a machine made of `before` to the checkout as it is now. */
export async function apply(repository: TestRepository, before: Files, after: Files, options = {}) {
  const { diff, read } = makeDiff(repository.git('rev-parse', 'HEAD'), before, after)
  return applyToCheckout(await openRepository(repository.path), diff, read, options)
}

/** The refusal, after proof that nothing at all was touched. */
export async function refusal(repository: TestRepository, work: () => Promise<unknown>): Promise<AutovibeError> {
  const state = repository.workTreeState()
  const git = repository.gitFolderState()
  try {
    await work()
  } catch (thrown) {
    assert.ok(thrown instanceof AutovibeError, String(thrown))
    assert.equal(repository.workTreeState(), state)
    assert.equal(repository.gitFolderState(), git)
    return thrown
  }
  throw new assert.AssertionError({ message: 'it was not refused' })
}
