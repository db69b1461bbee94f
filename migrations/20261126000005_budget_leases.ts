import { Migration } from '@mikro-orm/migrations'

/**
 * How replicas take money out of budgets and give it back. Both are functions, since M1 (committed + leased <= limit, at
 * every instant, on any number of replicas) rests on their being one round trip under one set of locks: whoever moves
 * money locks the periods in the order of their ids, and only then looks at them.
 *
 * Every change of a lease carries the lease's next number. When its answer is lost, the same number is sent again and
 * changes nothing: it only learns what the first one did.
 */
export class BudgetLeases extends Migration {
  override up(): void {
    this.addSql(`
      alter table budget_leases
        add column sequence bigint not null default 0,
        add column last_change_nano bigint not null default 0;
      create index budget_leases_owner on budget_leases (owner_replica);

      alter table budget_periods
        -- What ledger entries that retention has dropped had added to committed_nano: the audit starts from it.
        add column archived_nano bigint not null default 0;
      create index budget_periods_end on budget_periods (period_end);

      alter table usage_records add column budget_lease_ids uuid[] not null default '{}';

      -- Raised once each: a threshold of a period, a call that cost more than was reserved for it, a sum that is off.
      create table budget_alerts (
        id uuid primary key,
        budget_period_id uuid not null references budget_periods (id) on delete cascade,
        kind text not null check (kind in ('threshold', 'overrun', 'audit')),
        threshold_percent integer,
        request_id uuid,
        committed_nano bigint not null,
        limit_nano bigint not null,
        difference_nano bigint,
        created_at timestamptz not null default now(),
        unique nulls not distinct (budget_period_id, kind, threshold_percent, request_id, difference_nano)
      );
      create index budget_alerts_created on budget_alerts (created_at desc, id desc);

      create table budget_audits (
        id bigint primary key generated always as identity,
        periods integer not null,
        differences integer not null,
        started_at timestamptz not null,
        created_at timestamptz not null default now()
      );
    `)
    this.addSql(`
      create function take_budget_leases(owner text, asks jsonb) returns jsonb language plpgsql as $$
      declare
        answers jsonb;
      begin
        insert into budget_periods (id, budget_id, period_start, period_end, limit_nano, mode)
        select ask.new_period_id, b.id, ask.period_start, ask.period_end, b.amount_nano, b.mode
        from jsonb_to_recordset(asks) as ask (new_period_id uuid, budget_id uuid, period_start timestamptz,
          period_end timestamptz)
        join budgets b on b.id = ask.budget_id
        order by b.id
        on conflict (budget_id, period_start) do nothing;

        perform p.id
        from jsonb_to_recordset(asks) as ask (budget_id uuid, period_start timestamptz)
        join budget_periods p on p.budget_id = ask.budget_id and p.period_start = ask.period_start
        order by p.id
        for update of p;

        with ask as (
          select a.*, p.id as period_id, p.committed_nano, p.leased_nano, b.mode,
            b.amount_nano + case when b.temporary_increase_until > now() then b.temporary_increase_nano else 0 end
              as limit_nano,
            l.sequence as known_sequence, l.last_change_nano,
            coalesce((select sum(o.amount_nano) from budget_leases o
              where o.budget_period_id = p.id and o.owner_replica <> owner), 0)::bigint as others_nano,
            coalesce(l.sequence >= a.sequence, false) as is_repeated,
            l.id is null and a.sequence > 1 as is_lost
          from jsonb_to_recordset(asks) as a (budget_id uuid, period_start timestamptz, lease_id uuid, sequence bigint,
            needed_nano bigint, wanted_nano bigint)
          join budgets b on b.id = a.budget_id
          join budget_periods p on p.budget_id = a.budget_id and p.period_start = a.period_start
          left join budget_leases l on l.id = a.lease_id
        ), verdict as (
          -- All that is needed, or nothing at all.
          select coalesce(bool_and(not is_lost
            and (is_repeated or mode = 'soft' or needed_nano = 0
              or limit_nano - committed_nano - leased_nano >= needed_nano)), true) as fits
          from ask
        ), decided as (
          select ask.*, case
            when not verdict.fits or is_repeated or mode = 'soft' or needed_nano = 0 then 0
            -- Whole multiples of what one request needs, at most a quarter of the rest, and at least one.
            else needed_nano * greatest(1, least(wanted_nano, (limit_nano - committed_nano - leased_nano) / 4) / needed_nano)
          end as grant_nano
          from ask, verdict
        ), period as (
          update budget_periods p
          set leased_nano = p.leased_nano + decided.grant_nano, limit_nano = decided.limit_nano, mode = decided.mode
          from decided
          where p.id = decided.period_id
            and (decided.grant_nano > 0 or p.limit_nano <> decided.limit_nano or p.mode <> decided.mode)
        ), lease as (
          insert into budget_leases (id, budget_period_id, owner_replica, amount_nano, sequence, last_change_nano)
          select lease_id, period_id, owner, grant_nano, sequence, grant_nano from decided where grant_nano > 0
          on conflict (id) do update set
            amount_nano = budget_leases.amount_nano + excluded.amount_nano,
            sequence = excluded.sequence,
            last_change_nano = excluded.last_change_nano,
            heartbeat_at = now()
        )
        select jsonb_agg(jsonb_build_object(
          'leaseId', lease_id, 'periodId', period_id, 'mode', mode, 'limitNano', limit_nano::text,
          'committedNano', committed_nano::text, 'othersNano', others_nano::text,
          'restNano', (limit_nano - committed_nano - leased_nano)::text, 'isLost', is_lost,
          'grantedNano', (case when is_repeated then last_change_nano else grant_nano end)::text,
          'isChanged', is_repeated or grant_nano > 0))
        into answers
        from decided;
        return coalesce(answers, '[]');
      end $$;

      create function give_back_budget_leases(returns jsonb) returns jsonb language plpgsql as $$
      declare
        answers jsonb;
      begin
        perform p.id
        from budget_periods p
        where p.id in (
          select l.budget_period_id
          from jsonb_to_recordset(returns) as r (lease_id uuid)
          join budget_leases l on l.id = r.lease_id
        )
        order by p.id
        for update;

        with given as (
          select l.id, l.budget_period_id, l.amount_nano, r.sequence,
            -- An ask that its owner had given up was late: it has used this number up, and has to be known of first.
            case when l.sequence >= r.sequence and l.last_change_nano > 0 then l.last_change_nano else 0 end as granted_nano,
            case when l.sequence >= r.sequence then 0 else least(l.amount_nano, r.amount_nano) end as back_nano
          from jsonb_to_recordset(returns) as r (lease_id uuid, sequence bigint, amount_nano bigint)
          join budget_leases l on l.id = r.lease_id
        ), period as (
          update budget_periods p
          set leased_nano = p.leased_nano - back.nano
          from (select budget_period_id, sum(back_nano) as nano from given group by budget_period_id) back
          where p.id = back.budget_period_id and back.nano > 0
        ), changed as (
          update budget_leases l
          set amount_nano = l.amount_nano - given.back_nano, sequence = given.sequence,
            last_change_nano = -given.back_nano, heartbeat_at = now()
          from given
          where l.id = given.id and given.back_nano > 0 and given.back_nano < given.amount_nano
        ), closed as (
          delete from budget_leases l
          using given
          where l.id = given.id and given.back_nano = given.amount_nano
        )
        select jsonb_agg(jsonb_build_object('leaseId', r.lease_id,
          'grantedNano', coalesce(given.granted_nano, 0)::text,
          'isOver', given.id is null or given.back_nano = given.amount_nano))
        into answers
        from jsonb_to_recordset(returns) as r (lease_id uuid)
        left join given on given.id = r.lease_id;
        return coalesce(answers, '[]');
      end $$;
    `)
  }

  override down(): void {
    this.addSql(`
      drop function give_back_budget_leases;
      drop function take_budget_leases;
      drop table budget_audits, budget_alerts;
      alter table usage_records drop column budget_lease_ids;
      drop index budget_periods_end;
      alter table budget_periods drop column archived_nano;
      drop index budget_leases_owner;
      alter table budget_leases drop column last_change_nano, drop column sequence;
    `)
  }
}
