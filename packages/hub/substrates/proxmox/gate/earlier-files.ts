/** What a Hub of before kept of its gate as files in its data directory: read once, and removed when the database has it. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isId, type MachineId, Sha256 } from '@autovibe/contract'
import { z } from 'zod'
import { type GateCertificate, withFingerprint } from './certificate.ts'

const AdmissionFile = z.object({ version: z.literal(1), secret: Sha256, claim: Sha256.nullable(), tokens: z.array(Sha256) })

export interface EarlierFiles {
  /** Null where there was none: then there is nothing at all. */
  readonly certificate: GateCertificate | null
  readonly admissions: readonly (z.infer<typeof AdmissionFile> & { readonly machineId: MachineId })[]
  /** Names of files that hold something else; whom they were for is invited anew at its next start. */
  readonly unreadable: readonly string[]
}

const certificateFile = (folder: string): string => join(folder, 'certificate.pem')
const machinesFolder = (folder: string): string => join(folder, 'machines')

export async function readEarlierFiles(folder: string): Promise<EarlierFiles> {
  const pem = await orNull(readFile(certificateFile(folder), 'latin1'))
  if (pem === null) return { certificate: null, admissions: [], unreadable: [] }
  const at = pem.indexOf('-----BEGIN CERTIFICATE-----')
  const admissions: EarlierFiles['admissions'][number][] = []
  const unreadable: string[] = []
  for (const name of (await orNull(readdir(machinesFolder(folder)))) ?? []) {
    const machineId = name.slice(0, -'.json'.length)
    // The others were half written.
    if (!name.endsWith('.json') || !isId('machine', machineId)) continue
    const text = await orNull(readFile(join(machinesFolder(folder), name), 'utf8'))
    // Removed by another start, whose transaction is the one that counts.
    if (text === null) continue
    const admission = AdmissionFile.safeParse(parsed(text))
    if (admission.success) admissions.push({ ...admission.data, machineId })
    else unreadable.push(name)
  }
  return { certificate: withFingerprint({ key: pem.slice(0, at), cert: pem.slice(at) }), admissions, unreadable }
}

/** The certificate last: as long as it is there, so may be the others. */
export async function removeEarlierFiles(folder: string): Promise<void> {
  await rm(machinesFolder(folder), { recursive: true, force: true })
  await rm(certificateFile(folder), { force: true })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
