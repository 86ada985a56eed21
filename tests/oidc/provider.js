// A real provider of OpenID Connect for the tests of logins, with a gate before it that alters its answers on demand.
// It prints its issuer on a line of its own and ends when its standard input does.
//
// PUT /-/tamper with a JSON object sets what happens to the next answers; {} ends it:
//   claims      laid over those of the id_token, which is signed again (null removes one)
//   sign        "none", "secret" (HS256 by the client's secret), "stranger" (a key that nobody publishes),
//               "rotated" (a key that is published from then on)
//   status, slow, huge, body   of the answers whose path ends with `at`

import http from 'node:http'
import { SignJWT, UnsecuredJWT, decodeJwt, exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

const CLIENT = { id: 'site', secret: 'a secret: with/odd+letters' }
const people = JSON.parse(process.env.PEOPLE ?? '{}')

const algorithm = process.env.ALGORITHM ?? 'RS256'
const options = algorithm === 'EdDSA' ? { crv: 'Ed25519', extractable: true } : { extractable: true }
const pair = async () => (await generateKeyPair(algorithm, options)).privateKey
const own = await pair()
const [stranger, rotated] = [await pair(), await pair()]

let tamper = {}
let published = []

const gate = http.createServer(handle)
await new Promise((done) => gate.listen(0, '127.0.0.1', done))
const issuer = `http://127.0.0.1:${gate.address().port}`

const provider = new Provider(issuer, {
  clients: [{
    client_id: CLIENT.id,
    client_secret: CLIENT.secret,
    redirect_uris: JSON.parse(process.env.REDIRECT_URIS),
    id_token_signed_response_alg: algorithm,
    token_endpoint_auth_method: process.env.WAY ?? 'client_secret_basic',
  }],
  clientAuthMethods: [process.env.WAY ?? 'client_secret_basic'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: process.env.USERINFO === 'yes',
  enabledJWA: { idTokenSigningAlgValues: [algorithm] },
  findAccount: (_context, id) => ({ accountId: id, claims: async () => ({ sub: id, ...people[id] }) }),
  jwks: { keys: [{ ...await exportJWK(own), kid: 'own', use: 'sig', alg: algorithm }] },
  pkce: { required: () => true },
  cookies: { keys: ['a key of the test'] },
})
provider.proxy = true
const inner = http.createServer(provider.callback())
await new Promise((done) => inner.listen(0, '127.0.0.1', done))
console.log(issuer)
// The library has more to say, but nobody listens any more.
console.log = console.info = console.warn = () => {}
process.stdin.resume()
process.stdin.on('end', () => process.exit())

async function read(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function forward(request, body) {
  return new Promise((done, failed) => {
    const headers = { ...request.headers, 'x-forwarded-host': request.headers.host, 'x-forwarded-proto': 'http' }
    const port = inner.address().port
    const sent = http.request({ port, host: '127.0.0.1', method: request.method, path: request.url, headers }, done)
    sent.on('error', failed)
    sent.end(body)
  })
}

async function handle(request, response) {
  const body = await read(request)
  if (request.url === '/-/tamper') {
    tamper = JSON.parse(body)
    return response.end('{}')
  }
  const answer = await forward(request, body)
  let text = await read(answer)
  let status = answer.statusCode
  const path = request.url.split('?')[0]
  if (path === '/token' && status === 200 && (tamper.claims || tamper.sign)) {
    const tokens = JSON.parse(text)
    tokens.id_token = await signed(tokens.id_token)
    text = Buffer.from(JSON.stringify(tokens))
  }
  if (path === '/jwks' && published.length) {
    text = Buffer.from(JSON.stringify({ keys: [...JSON.parse(text).keys, ...published] }))
  }
  if (tamper.at && path.endsWith(tamper.at)) {
    if (tamper.slow) await new Promise((done) => setTimeout(done, tamper.slow))
    if (tamper.huge) text = Buffer.alloc(tamper.huge, ' ')
    if (tamper.body) text = Buffer.from(JSON.stringify({ ...JSON.parse(text), ...tamper.body }))
    status = tamper.status ?? status
  }
  const headers = { ...answer.headers, ...(tamper.status === 302 ? { location: issuer + '/elsewhere' } : {}) }
  delete headers['content-length']
  delete headers['transfer-encoding']
  response.writeHead(status, headers)
  response.end(text)
}

async function signed(token) {
  const claims = { ...decodeJwt(token), ...tamper.claims }
  for (const name of Object.keys(claims)) if (claims[name] === null) delete claims[name]
  const jwt = (alg, kid) => new SignJWT(claims).setProtectedHeader({ alg, kid })
  switch (tamper.sign) {
    case 'none': return new UnsecuredJWT(claims).encode()
    case 'secret': return jwt('HS256', 'own').sign(new TextEncoder().encode(CLIENT.secret))
    case 'stranger': return jwt(algorithm, 'own').sign(stranger)
    case 'unknown': return jwt(algorithm, 'nobody').sign(stranger)
    case 'rotated': {
      const { d, p, q, dp, dq, qi, ...key } = await exportJWK(rotated)
      published = [{ ...key, kid: 'rotated', use: 'sig', alg: algorithm }]
      return jwt(algorithm, 'rotated').sign(rotated)
    }
    default: return jwt(algorithm, 'own').sign(own)
  }
}
