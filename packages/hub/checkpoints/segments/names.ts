/** What lies where in a store: a project's key, and everything else of it below one folder. */
import type { CheckpointId, ProjectId } from '@autovibe/contract'

export const FORMAT_NAME = 'format'
/** Apart from what they open, so that all of them are listed without it. */
export const KEYS_FOLDER = 'keys'
export const keyName = (projectId: ProjectId): string => `${KEYS_FOLDER}/${projectId}`
export const projectFolder = (projectId: ProjectId): string => `projects/${projectId}`
export const segmentsFolder = (folder: string): string => `${folder}/segments`
/** Parted by two digits, since a store of a terabyte has some 60,000 segments. */
export const segmentName = (folder: string, id: string): string => `${segmentsFolder(folder)}/${id.slice(0, 2)}/${id}`
export const refsFolder = (folder: string): string => `${folder}/refs`
export const refName = (folder: string, checkpointId: CheckpointId): string => `${refsFolder(folder)}/${checkpointId}`
export const intentsFolder = (folder: string): string => `${folder}/intents`
export const intentName = (folder: string, id: string): string => `${intentsFolder(folder)}/${id}`
export const condemnedFolder = (folder: string): string => `${folder}/condemned`
export const condemnedName = (folder: string, segmentId: string): string => `${condemnedFolder(folder)}/${segmentId}`
