/** What an agent is told first on a machine whose files it has not made there. */

export const noticeOf = ({ trigger }: { readonly trigger: string }): string => (trigger === 'import' ? IMPORTED : FORKED)

const IMPORTED = 'Your files were brought in from elsewhere, as they are; you have not seen them before. Look at them before you begin.'

const FORKED =
  'You continue on a fork: a new machine with the files and the conversation of a checkpoint. Look at the files before you go on; the machine that you came from goes its own way.'
