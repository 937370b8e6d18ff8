-- Every step that has begun is ended by somebody, and says how: finished by the agent, or interrupted and found by the Hub.

alter table steps add column outcome text check (outcome in ('finished', 'interrupted'));
update steps set outcome = 'finished' where ended_at is not null;
-- Until now nobody ended a step whose run was paused or ended in the middle of it.
update steps s set outcome = 'interrupted', ended_at = greatest(s.started_at, coalesce(
  (select min(later.started_at) from steps later where later.run_id = s.run_id and later.index > s.index), r.ended_at, s.started_at))
from runs r where r.id = s.run_id and s.ended_at is null and r.state <> 'running';
alter table steps add constraint steps_ended_somehow check ((outcome is null) = (ended_at is null));

-- What no step names as its own counts for one that was cut off before it could, else for the one that had begun last by then (a side call of the agent).
create index steps_without_message on steps (run_id, started_at, index) where outcome is distinct from 'finished';
create index steps_by_start on steps (run_id, started_at, index);
