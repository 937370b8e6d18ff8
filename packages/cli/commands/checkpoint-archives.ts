/** autovibe checkpoint export and import: files out of a checkpoint, and a checkpoint out of files. */
import { act, define } from './define.ts'

export interface CheckpointExportOptions {
  readonly tar?: string
  readonly all?: boolean
  /** `true`: a name is made up. */
  readonly branch?: string | true
  readonly repo?: string
  readonly ignored?: boolean
  readonly force?: boolean
}

const EXPORT_DETAILS = `As a tar (POSIX pax): the project's files without what is named .git, or with --all everything that the checkpoint holds.
As a branch: one commit with the project's files, on the commit that the project was imported from. The work tree, the index and the
hooks of the repository are left alone.

  autovibe checkpoint export ckp_01… --tar project.tar
  autovibe checkpoint export ckp_01… --tar - | tar -xC FOLDER
  autovibe checkpoint export ckp_01… --branch agent/fix`

export const checkpointExportCommand = () =>
  act<CheckpointExportOptions>(
    define('export', 'Take the files of a checkpoint out, as a tar or a git branch', EXPORT_DETAILS)
      .argument('<checkpoint>', 'its id')
      .option('--tar <file>', 'write a tar to this file; - is standard output')
      .option('--all', 'with --tar: everything, the home of the agent with its conversation too')
      .option('--branch [name]', 'make a branch (default: autovibe/MACHINE/CHECKPOINT)')
      .option('--repo <path>', 'with --branch: the repository (default: this folder)')
      .option('--ignored', "with --branch: also new files that the project's .gitignore names")
      .option('--force', 'replace a file or a branch that is there'),
    async () => (await import('../actions/checkpoint-export.ts')).checkpointExport,
  )

export interface CheckpointImportOptions {
  readonly tar?: string
  readonly all?: boolean
  readonly branch?: string
  readonly commit?: string
  readonly repo?: string
  readonly project?: string
  readonly label?: string
}

const IMPORT_DETAILS = `Of a tar (also packed with gzip or zstd), or of the files of a commit, exactly as git has them. It is verified like any other before
machines can start from it; a tar that leads out of its own folder is refused as a whole. Set-user-id bits are dropped, hard links become
files of their own, and links that lead elsewhere stay what they are.

  autovibe checkpoint import --tar project.tar.gz --project shop
  autovibe checkpoint import --branch feature --project shop --label "before the rewrite"
  autovibe fork ckp_01… --name second --budget 2.00`

export const checkpointImportCommand = () =>
  act<CheckpointImportOptions>(
    define('import', 'Make a checkpoint of a tar or of a git commit', IMPORT_DETAILS)
      .option('--tar <file>', 'the tar; - is standard input')
      .option('--all', 'with --tar: it is one of everything, as export --all makes it')
      .option('--branch <name>', 'the files of this branch')
      .option('--commit <rev>', 'the files of this commit')
      .option('--repo <path>', 'with --branch or --commit: the repository (default: this folder)')
      .option('--project <project>', 'its name or id; made when there is none (default: named after the repository)')
      .option('--label <text>', 'a word to find it again'),
    async () => (await import('../actions/checkpoint-import.ts')).checkpointImport,
  )
