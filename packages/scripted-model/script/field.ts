/** One place of a script file: reading it as a type gives the value, or notes a mistake with its line and gives undefined. */
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair, type Scalar, visit } from 'yaml'

/** Beyond this many a file is not a script, and a longer list helps nobody. */
const MISTAKES_MAX = 100
const FOUND_CHARS_MAX = 60

export interface Mistake {
  readonly line: number
  readonly column: number
  readonly message: string
}

/** What all fields of one file share. */
export interface Source {
  readonly document: Document
  readonly lines: LineCounter
  readonly mistakes: Mistake[]
  readonly vars: ReadonlyMap<string, string>
}

export class Field {
  readonly #source: Source
  readonly #node: Node | null
  /** An alias of an anchor that the file does not have. */
  readonly #lost: string | undefined
  readonly #offset: number
  readonly path: string

  constructor(source: Source, node: Node | null, path: string, offset: number) {
    this.#source = source
    this.#node = isAlias(node) ? (node.resolve(source.document) ?? null) : node
    this.#lost = isAlias(node) && this.#node === null ? `*${node.source}, an alias of nothing` : undefined
    this.#offset = node?.range?.[0] ?? offset
    this.path = path
  }

  /** Notes a mistake at this place. */
  mistake(expected: string, found: string = this.#found()): undefined {
    this.say(`expected ${expected}, found ${found}`)
  }

  /** Notes a mistake in words of its own. */
  say(sentence: string): undefined {
    if (this.#source.mistakes.length >= MISTAKES_MAX) return
    const { line, col } = this.#source.lines.linePos(this.#offset)
    this.#source.mistakes.push({ line, column: col, message: this.path === '' ? sentence : `${this.path}: ${sentence}` })
  }

  /** The fields of a mapping by key; every key outside `known` is a mistake. */
  mapping(known: readonly string[]): Map<string, Field> | undefined {
    const fields = this.anyMapping(`a mapping with ${listed(known)}`)
    for (const [key, field] of fields ?? []) {
      if (known.includes(key)) continue
      field.#atKey(key, this.#node)?.mistake(`one of ${known.join(', ')}`, `the unknown key ${JSON.stringify(key)}`)
      fields?.delete(key)
    }
    return fields
  }

  /** The fields of a mapping whose keys are free. */
  anyMapping(expected = 'a mapping'): Map<string, Field> | undefined {
    if (!isMap(this.#node)) return this.mistake(expected)
    const fields = new Map<string, Field>()
    for (const pair of this.#node.items as Pair<Node, Node | null>[]) {
      const key = isScalar(pair.key) ? String(pair.key.value) : undefined
      const offset = pair.key?.range?.[0] ?? this.#offset
      if (key === undefined) new Field(this.#source, pair.key ?? null, this.path, offset).mistake('a plain key')
      else fields.set(key, new Field(this.#source, pair.value, this.path === '' ? key : `${this.path}.${key}`, offset))
    }
    return fields
  }

  /** The items of a list that is not empty. */
  list(expected: string): Field[] | undefined {
    if (!isSeq(this.#node)) return this.mistake(`a list of ${expected}`)
    if (this.#node.items.length === 0) return this.mistake(`a list of at least one of ${expected}`, 'an empty list')
    return (this.#node.items as (Node | null)[]).map((item, index) => new Field(this.#source, item, `${this.path}[${index}]`, this.#offset))
  }

  /** A text as it stands. */
  text(): string | undefined {
    const value = isScalar(this.#node) ? this.#node.value : undefined
    return typeof value === 'string' ? value : this.mistake('a text')
  }

  /** A text that is not empty. */
  name(): string | undefined {
    const value = this.text()
    return value?.trim() === '' ? this.mistake('a text that is not empty') : value
  }

  /** A text whose placeholders are replaced. */
  filledText(): string | undefined {
    const value = this.text()
    return value === undefined ? undefined : this.#fill(value)
  }

  integer(min: number, max: number, unit = ''): number | undefined {
    const value = isScalar(this.#node) ? this.#node.value : undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    return this.mistake(`a whole number from ${min} to ${max}${unit}`)
  }

  boolean(): boolean | undefined {
    const value = isScalar(this.#node) ? this.#node.value : undefined
    return typeof value === 'boolean' ? value : this.mistake('true or false')
  }

  oneOf(values: readonly string[]): string | undefined {
    const value = isScalar(this.#node) ? this.#node.value : undefined
    return typeof value === 'string' && values.includes(value) ? value : this.mistake(`one of ${values.join(', ')}`)
  }

  /** A mapping of any JSON values, with the placeholders in its texts replaced. */
  json(): Record<string, unknown> | undefined {
    if (!isMap(this.#node)) return this.mistake('a mapping')
    // First where each text stands, because an input may be long; what an alias brings in is told at the input's own place.
    const before = this.#source.mistakes.length
    visit(this.#node, { Scalar: (_, scalar: Scalar) => void this.#check(scalar) })
    if (this.#source.mistakes.length > before) return undefined
    try {
      return this.#filled(this.#node.toJS(this.#source.document)) as Record<string, unknown>
    } catch (error) {
      return this.mistake('plain values', error instanceof Error ? error.message : String(error))
    }
  }

  #check(scalar: Scalar): void {
    if (typeof scalar.value === 'string') new Field(this.#source, scalar, this.path, this.#offset).filledText()
  }

  #filled(value: unknown): unknown {
    if (typeof value === 'string') return this.#fill(value)
    if (Array.isArray(value)) return value.map((item) => this.#filled(item))
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#filled(item)]))
  }

  #fill(text: string): string {
    return text.replaceAll(/\{\{([A-Za-z][A-Za-z0-9_]*)\}\}/g, (whole, name: string) => {
      const value = this.#source.vars.get(name)
      if (value !== undefined) return value
      const names = [...this.#source.vars.keys()]
      this.mistake(names.length === 0 ? 'no placeholder, because the script has no vars' : `a placeholder of vars (${names.join(', ')})`, whole)
      return whole
    })
  }

  #atKey(key: string, parent: Node | null): Field | undefined {
    if (!isMap(parent)) return undefined
    const pair = (parent.items as Pair<Node, Node | null>[]).find(({ key: node }) => isScalar(node) && String(node.value) === key)
    const offset = pair?.key.range?.[0] ?? this.#offset
    return new Field(this.#source, null, this.path.slice(0, Math.max(0, this.path.length - key.length - 1)), offset)
  }

  #found(): string {
    if (this.#lost !== undefined) return this.#lost
    if (isMap(this.#node)) return 'a mapping'
    if (isSeq(this.#node)) return 'a list'
    const value = isScalar(this.#node) ? this.#node.value : null
    if (value === null || value === undefined) return 'nothing'
    const shown = JSON.stringify(value) ?? String(value)
    return shown.length > FOUND_CHARS_MAX ? `${shown.slice(0, FOUND_CHARS_MAX)}…` : shown
  }
}

function listed(keys: readonly string[]): string {
  return keys.length === 1 ? `the key ${keys[0]}` : `some of the keys ${keys.join(', ')}`
}
