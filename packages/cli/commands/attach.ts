/** autovibe attach: follows a run that goes on. */
import { act, define } from './define.ts'

export const attachCommand = () =>
  act(
    define(
      'attach',
      'Follow a run live',
      'Shows the run from its beginning and stays until it ends. Ctrl-C detaches again; a Hub that goes away is waited for.',
    ).argument('[ref]', 'a machine or run (default: a run that goes on, else the newest one of a machine that is still there)'),
    async () => (await import('../actions/attach.ts')).attach,
  )
