/**
 * The part of the settlement statement that moves money: what calls cost goes into the ledger and is committed in the
 * periods they count in, and as much of it as was held for them leaves their leases. Continues a list of CTEs in which
 * there are
 *
 * - `batch`, the records of the batch;
 * - `written` (request_id, reserved_at), those whose rows became terminal in this statement;
 * - `amended` (request_id, reserved_at, difference_nano, taken_nano), those whose row somebody else had closed with an
 *   estimate, and what that has taken from each lease: if a lease is still there, its owner counts on the rest of it.
 *
 * Whoever moves money locks periods in the order of their ids, then leases: see the migration `budget_leases`.
 */
export const budgetMovesSql = `
  move as materialized (
    select batch.request_id, batch.reserved_at, 'charge' as kind, batch.provider_cost_nano as amount_nano,
      least(batch.provider_cost_nano, batch.reserved_nano) as leased_nano, batch.overrun_nano,
      batch.organization_id, batch.team_id, batch.key_id, counted.period_id, counted.lease_id
    from batch
    join written using (reserved_at, request_id)
    cross join lateral unnest(batch.budget_period_ids, batch.budget_lease_ids) as counted (period_id, lease_id)
    where batch.provider_cost_nano > 0
    union all
    -- A replica that came back before its leases were taken away still has the one that this was held in: it counts on
    -- the cost to leave it, and on what is left over to be there. So what the estimate took is made up for, either way.
    select batch.request_id, batch.reserved_at, 'adjust', amended.difference_nano,
      least(batch.provider_cost_nano, batch.reserved_nano) - amended.taken_nano, batch.overrun_nano,
      batch.organization_id, batch.team_id, batch.key_id, counted.period_id, counted.lease_id
    from batch
    join amended using (reserved_at, request_id)
    cross join lateral unnest(batch.budget_period_ids, batch.budget_lease_ids) as counted (period_id, lease_id)
    where amended.difference_nano <> 0
  ), charged as (
    insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, budget_period_id, organization_id, team_id,
      key_id)
    select gen_random_uuid(), request_id, reserved_at, kind, amount_nano, period_id, organization_id, team_id, key_id
    from move
    on conflict do nothing
  ), locked_period as materialized (
    select p.id from budget_periods p where p.id in (select period_id from move) order by p.id for update
  ), locked_lease as materialized (
    select l.id, l.budget_period_id, l.amount_nano
    from budget_leases l
    join locked_period p on p.id = l.budget_period_id
    where l.id in (select lease_id from move)
    order by l.id
    for update of l
  ), lease_taken as (
    -- A lease that was taken away from its replica has nothing left to give.
    select l.id, l.budget_period_id, least(l.amount_nano, sum(move.leased_nano))::bigint as taken_nano
    from move
    join locked_lease l on l.id = move.lease_id
    group by l.id, l.budget_period_id, l.amount_nano
  ), lease_moved as (
    update budget_leases l
    set amount_nano = l.amount_nano - lease_taken.taken_nano
    from lease_taken
    where l.id = lease_taken.id and lease_taken.taken_nano <> 0
  ), period_moved as (
    update budget_periods p
    set committed_nano = p.committed_nano + total.committed_nano,
      leased_nano = p.leased_nano - coalesce(total.taken_nano, 0)
    from (
      select locked_period.id, sum(move.amount_nano)::bigint as committed_nano,
        (select sum(t.taken_nano) from lease_taken t where t.budget_period_id = locked_period.id)::bigint as taken_nano
      from move
      join locked_period on locked_period.id = move.period_id
      group by locked_period.id
    ) total
    where p.id = total.id
    returning p.id, p.budget_id, p.committed_nano, p.leased_nano, p.limit_nano
  ), alerted as (
    insert into budget_alerts (id, budget_period_id, kind, threshold_percent, request_id, committed_nano, limit_nano,
      difference_nano)
    select gen_random_uuid(), p.id, 'threshold', threshold.percent, null::uuid, p.committed_nano, p.limit_nano, null::bigint
    from period_moved p
    join budgets b on b.id = p.budget_id
    cross join lateral unnest(b.alert_thresholds_percent) as threshold (percent)
    where p.committed_nano > 0 and p.committed_nano::numeric * 100 >= p.limit_nano::numeric * threshold.percent
    union all
    select gen_random_uuid(), p.id, 'overrun', null, move.request_id, p.committed_nano, p.limit_nano, move.overrun_nano
    from move
    join period_moved p on p.id = move.period_id
    where move.overrun_nano > 0 and move.lease_id is not null
    on conflict do nothing
    returning budget_period_id, kind, threshold_percent, request_id, committed_nano, limit_nano, difference_nano
  )`

/** How the periods stand that a batch has moved, and the alerts that it has raised, as JSON; money as text. */
export const budgetStandingSql = `
  (select json_agg(json_build_object('periodId', id, 'committedNano', committed_nano::text, 'limitNano', limit_nano::text))
   from period_moved) as periods,
  (select json_agg(json_build_object('budgetId', p.budget_id, 'periodId', a.budget_period_id, 'kind', a.kind,
     'thresholdPercent', a.threshold_percent, 'requestId', a.request_id, 'committedNano', a.committed_nano::text,
     'limitNano', a.limit_nano::text, 'differenceNano', a.difference_nano::text))
   from alerted a join budget_periods p on p.id = a.budget_period_id) as alerts`
