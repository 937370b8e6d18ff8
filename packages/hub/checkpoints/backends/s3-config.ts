/** Where a shared store lies and with which keys it is reached: AUTOVIBE_STORE and the variables of AWS, checked, with secrets taken out of the environment. */
import { AutovibeError } from '@autovibe/contract'

export interface S3Config {
  readonly bucket: string
  /** What the names of all objects begin with, without a slash at its end; empty: nothing. */
  readonly prefix: string
  /** Another server than AWS. */
  readonly endpoint: string | null
  /** Null: what the AWS variables and files say. */
  readonly region: string | null
  /** The bucket is named in the path and not in the host. */
  readonly pathStyle: boolean
  /** Null: what the SDK finds by itself, such as a profile or the role of the computer. */
  readonly credentials: S3Credentials | null
}

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const PREFIX_PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/
const PREFIX_MAX = 200
const REGION = /^[a-z0-9-]{1,40}$/
const PARAMETERS = ['endpoint', 'region', 'path_style']
const EXAMPLE = 'AUTOVIBE_STORE=s3://BUCKET/PREFIX?region=eu-central-1'

/** Null when the store lies in the data directory. Takes AUTOVIBE_STORE and the keys of AWS out of `env`: a child process has no business with them. `request.invalid` names what is wrong, and never says a secret again. */
export function readS3Config(env: NodeJS.ProcessEnv): S3Config | null {
  const { AUTOVIBE_STORE: text, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = env
  for (const name of ['AUTOVIBE_STORE', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) delete env[name]
  if (text === undefined || text === '') return null
  if (!accessKeyId !== !secretAccessKey) {
    throw new AutovibeError('request.invalid', 'Of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set.', {
      fix: 'Set both, or none for a profile or the role of this computer.',
    })
  }
  const credentials = accessKeyId && secretAccessKey ? { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } : null
  return { ...parseAddress(text), credentials }
}

/** `s3://BUCKET/PREFIX?endpoint=URL&region=REGION&path_style=true`. */
function parseAddress(text: string): Omit<S3Config, 'credentials'> {
  const url = URL.parse(text)
  if (url?.protocol !== 's3:') throw refused('it does not begin with s3://')
  // First, so that no other sentence can come to say them.
  if (url.username !== '' || url.password !== '') throw refused('it has keys in it; they belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  if (url.hash !== '' || url.port !== '') throw refused('it has a port or a fragment; another server is named by its endpoint')
  if (!BUCKET.test(url.hostname)) throw refused('its bucket is none: 3 to 63 lower-case letters, digits, dots and hyphens')
  const prefix = url.pathname.replace(/^\//, '').replace(/\/$/, '')
  if (prefix.length > PREFIX_MAX || (prefix !== '' && !prefix.split('/').every((part) => PREFIX_PART.test(part))))
    throw refused(`its prefix may have letters, digits, “.”, “_”, “-” and “/” alone, and ${PREFIX_MAX} at most`)
  for (const name of new Set(url.searchParams.keys())) {
    if (!PARAMETERS.includes(name)) throw refused(`it may have ${PARAMETERS.join(', ')} after the “?” and nothing else`)
    if (url.searchParams.getAll(name).length > 1) throw refused(`it says ${name} twice`)
  }
  const endpoint = endpointOf(url.searchParams.get('endpoint'))
  const region = url.searchParams.get('region')
  if (region !== null && !REGION.test(region)) throw refused('its region is none')
  const pathStyle = url.searchParams.get('path_style') ?? String(endpoint !== null)
  if (pathStyle !== 'true' && pathStyle !== 'false') throw refused('path_style is true or false')
  // Other servers take any region, but the SDK demands one.
  return { bucket: url.hostname, prefix, endpoint, region: region ?? (endpoint === null ? null : 'us-east-1'), pathStyle: pathStyle === 'true' }
}

function endpointOf(text: string | null): string | null {
  if (text === null) return null
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) throw refused('its endpoint is no http or https URL')
  if (url.username !== '' || url.password !== '') throw refused('its endpoint has keys in it; they belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw refused('its endpoint is a scheme, a host and a port and nothing else')
  return url.origin
}

const refused = (what: string): AutovibeError => new AutovibeError('request.invalid', `AUTOVIBE_STORE cannot be used: ${what}.`, { fix: EXAMPLE })
