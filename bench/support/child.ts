/** A module of the bench in a process of its own, which is asked one question after the other. */
import { fork } from 'node:child_process'

export interface Child<Question, Answer> extends Disposable {
  ask(question: Question): Promise<Answer>
}

interface Reply<Answer> {
  readonly answer?: Answer
  readonly error?: string
}

/** Starts the module, which calls `answerParent`; it ends when it is disposed of, and with us. */
export function startChild<Question, Answer>(module: URL): Child<Question, Answer> {
  const child = fork(module, { serialization: 'advanced', execArgv: [] })
  let asking: PromiseWithResolvers<Answer> | null = null
  child.on('message', ({ answer, error }: Reply<Answer>) => {
    if (error === undefined) asking?.resolve(answer as Answer)
    else asking?.reject(new Error(error))
  })
  child.once('exit', (code, signal) => asking?.reject(new Error(`${module.pathname} ended with ${signal ?? code}`)))
  return {
    ask(question) {
      asking = Promise.withResolvers<Answer>()
      child.send({ question })
      return asking.promise
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

/** In the child: answers each question of the parent, and ends when the parent does. */
export function answerParent<Question, Answer>(answer: (question: Question) => Promise<Answer>): void {
  process.on('message', async ({ question }: { question: Question }) => {
    let reply: Reply<Answer>
    try {
      reply = { answer: await answer(question) }
    } catch (error) {
      reply = { error: error instanceof Error ? error.message : String(error) }
    }
    process.send?.(reply)
  })
  process.once('disconnect', () => process.exit())
}
