/** The tools of the builtin agent, in the order in which a model is told of them (a fixed order keeps the prompt cache). */
import { editFile } from './edit-file.ts'
import { listFiles } from './list-files.ts'
import { readFile } from './read-file.ts'
import { search } from './search.ts'
import { shell } from './shell.ts'
import type { Tool } from './tool.ts'
import { writeFile } from './write-file.ts'

export const TOOLS: readonly Tool[] = [shell, readFile, writeFile, editFile, search, listFiles]

export function toolNamed(name: string): Tool | undefined {
  return TOOLS.find((tool) => tool.definition.name === name)
}
