-- What the machines of a project may reach beyond their Hub; without a row, nothing.

create table project_egress (
  project_id   text not null references projects,
  -- HOST:PORT in its canonical spelling (core/egress/rules.ts), so that the same thing is not there twice.
  destination  text not null check (destination <> ''),
  -- An address of somebody's own network, allowed by its literal.
  private      boolean not null,
  primary key (project_id, destination)
);

-- Open tunnels are looked at again when the list changes.
create trigger callers_notify after insert or update or delete on project_egress for each statement execute function notify_callers();
