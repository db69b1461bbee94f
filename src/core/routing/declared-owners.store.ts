import { defaultOrganization } from '../keys/keys.store.ts'
import { type DeclaredChange, recordAudit } from './declared-change.ts'

/** Whom a declared key, budget or rate limit belongs to. */
export interface Owner {
  organizationId: string
  teamId: string | null
}

/** The owner of keys that name no organization; there from the first start on. */
export async function ensureDefaultOrganization(change: DeclaredChange): Promise<void> {
  await ensureOrganization(change, defaultOrganization.slug, defaultOrganization.name)
}

/** @param organization - a slug; undefined is the default one */
export async function ensureOwner(
  change: DeclaredChange,
  { organization, team }: { organization: string | undefined; team: string | undefined },
): Promise<Owner> {
  const slug = organization ?? defaultOrganization.slug
  const organizationId = await ensureOrganization(change, slug, slug)
  return { organizationId, teamId: team === undefined ? null : await ensureTeam(change, organizationId, team) }
}

/** Others make organizations and teams, too, without our lock: whoever comes second takes what is there. */
async function ensureOrganization(change: DeclaredChange, slug: string, name: string): Promise<string> {
  const id = change.newId()
  const made = await change.client.query(
    'insert into organizations (id, slug, name) values ($1, $2, $3) on conflict (slug) do nothing',
    [id, slug, name],
  )
  if (made.rowCount === 0) {
    const { rows } = await change.client.query<{ id: string }>('select o.id from organizations o where o.slug = $1', [
      slug,
    ])
    return idOf(rows)
  }
  await recordAudit(change, {
    actor: slug === defaultOrganization.slug ? 'builtin' : 'file',
    action: 'organization.create',
    subjectKind: 'organization',
    subjectId: id,
    organizationId: id,
    after: { slug, name },
  })
  return id
}

async function ensureTeam(change: DeclaredChange, organizationId: string, slug: string): Promise<string> {
  const id = change.newId()
  const made = await change.client.query(
    `insert into teams (id, organization_id, slug, name) values ($1, $2, $3, $3)
     on conflict (organization_id, slug) do nothing`,
    [id, organizationId, slug],
  )
  if (made.rowCount === 0) {
    const { rows } = await change.client.query<{ id: string }>(
      'select t.id from teams t where t.organization_id = $1 and t.slug = $2',
      [organizationId, slug],
    )
    return idOf(rows)
  }
  await recordAudit(change, {
    actor: 'file',
    action: 'team.create',
    subjectKind: 'team',
    subjectId: id,
    organizationId,
    after: { slug },
  })
  return id
}

function idOf(rows: readonly { id: string }[]): string {
  const [row] = rows
  if (!row) throw new Error('A row that was there a moment ago is gone.')
  return row.id
}
