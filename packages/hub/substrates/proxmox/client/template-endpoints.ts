/** The endpoints that only the making of a template calls; the Hub's own token needs none of them. */
import { endpoint } from './endpoint.ts'
import * as shapes from './shapes.ts'

interface OnNode {
  node: string
}
interface OnVm extends OnNode {
  vmid: number
}
interface OnStorage extends OnNode {
  storage: string
}

/** Fetched by the node itself; what is there already with this sum is left. */
interface Download extends OnStorage {
  content: 'import'
  filename: string
  url: string
  checksum: string
  'checksum-algorithm': 'sha256'
}
interface Create extends OnVm {
  name: string
  pool: string
  description: string
  tags: string
  ostype: string
  cpu: string
  cores: number
  memory: string
  agent: string
  scsihw: string
  scsi0: string
  ide2: string
  boot: string
  net0: string
  serial0: string
  vga: string
}
interface Settle extends OnVm {
  ide2?: string
  net0?: string
  ipconfig0?: string
  ciupgrade?: boolean
  tags?: string
}

export const BUILD_ENDPOINTS = {
  'GET /nodes/{node}/qemu/{vmid}/agent/get-host-name': endpoint<OnVm>()(shapes.HostName),
  'GET /pools': endpoint<object>()(shapes.Pools),
  'POST /nodes/{node}/storage/{storage}/download-url': endpoint<Download>()(shapes.UpidText),
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': endpoint<OnStorage & { volume: string }>()(shapes.UpidText),
  'POST /nodes/{node}/qemu': endpoint<Create>()(shapes.UpidText),
  'POST /nodes/{node}/qemu/{vmid}/config': endpoint<Settle>()(shapes.UpidText),
  // With `disk`, of a VM that is a template already: what its conversion has left undone.
  'POST /nodes/{node}/qemu/{vmid}/template': endpoint<OnVm & { disk?: 'scsi0' }>()(shapes.UpidText),
} as const

/** A file goes up as multipart, so that it is no call like the others: see `upload.ts`. */
export const UPLOAD = 'POST /nodes/{node}/storage/{storage}/upload'
