"""Triggers that keep the history append-only, for migrations (promise 15).

They reject every UPDATE of a step run or an event. On PostgreSQL they also reject every DELETE while the execution is
unfinished. On SQLite deletes have no trigger, because test suites flush tables with DELETE. Inserts have no trigger, so
the hot path costs nothing. SQLite drops the triggers of a table when a later migration alters it: such a migration must
end with `RunPython(guard, unguard)`.

Promises: docs/GUARANTEES.md.
"""

from typing import Any

# The only UPDATE allowed is the one that clears `actor_id` when its user is deleted; `actor_name` keeps the name.
POSTGRESQL = [
    """
CREATE FUNCTION sagas_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE integrity_constraint_violation
    USING MESSAGE = TG_TABLE_NAME || ' is append-only: its rows cannot be changed';
END $$
""",
    """
CREATE FUNCTION sagas_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM sagas_execution
        WHERE id = OLD.execution_id AND state NOT IN ('succeeded', 'failed', 'partially_compensated')
    ) THEN
        RAISE integrity_constraint_violation
        USING MESSAGE = TG_TABLE_NAME || ' is append-only: the history of an unfinished execution cannot be deleted';
    END IF;
    RETURN OLD;
END $$
""",
    """
CREATE TRIGGER sagas_steprun_unchanged BEFORE UPDATE ON sagas_steprun
FOR EACH ROW EXECUTE FUNCTION sagas_refuse_update()
""",
    """
CREATE TRIGGER sagas_event_unchanged BEFORE UPDATE ON sagas_event
FOR EACH ROW WHEN (
    OLD.actor_id IS NULL OR NEW.actor_id IS NOT NULL
    OR to_jsonb(OLD) - 'actor_id' IS DISTINCT FROM to_jsonb(NEW) - 'actor_id'
) EXECUTE FUNCTION sagas_refuse_update()
""",
    """
CREATE TRIGGER sagas_steprun_kept BEFORE DELETE ON sagas_steprun
FOR EACH ROW EXECUTE FUNCTION sagas_refuse_delete()
""",
    """
CREATE TRIGGER sagas_event_kept BEFORE DELETE ON sagas_event
FOR EACH ROW EXECUTE FUNCTION sagas_refuse_delete()
""",
]
NOT_ON_POSTGRESQL = [
    "DROP TRIGGER sagas_event_kept ON sagas_event",
    "DROP TRIGGER sagas_steprun_kept ON sagas_steprun",
    "DROP TRIGGER sagas_event_unchanged ON sagas_event",
    "DROP TRIGGER sagas_steprun_unchanged ON sagas_steprun",
    "DROP FUNCTION sagas_refuse_delete()",
    "DROP FUNCTION sagas_refuse_update()",
]

SQLITE = [
    """
CREATE TRIGGER sagas_steprun_unchanged BEFORE UPDATE ON sagas_steprun
BEGIN SELECT RAISE(ABORT, 'sagas_steprun is append-only: its rows cannot be changed'); END
""",
    """
CREATE TRIGGER sagas_event_unchanged BEFORE UPDATE OF {columns} ON sagas_event
BEGIN SELECT RAISE(ABORT, 'sagas_event is append-only: its rows cannot be changed'); END
""",
    """
CREATE TRIGGER sagas_event_actor_unchanged BEFORE UPDATE OF actor_id ON sagas_event
WHEN OLD.actor_id IS NULL OR NEW.actor_id IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'sagas_event is append-only: its rows cannot be changed'); END
""",
]
NOT_ON_SQLITE = [
    "DROP TRIGGER sagas_event_actor_unchanged",
    "DROP TRIGGER sagas_event_unchanged",
    "DROP TRIGGER sagas_steprun_unchanged",
]

# Other databases get no triggers. Check sagas.E003 rejects them for sagas, but a project can still migrate them.
GUARD = {"postgresql": POSTGRESQL, "sqlite": SQLITE}
UNGUARD = {"postgresql": NOT_ON_POSTGRESQL, "sqlite": NOT_ON_SQLITE}


def guard(apps: Any, schema_editor: Any) -> None:
    """Create the triggers. For `RunPython`; does nothing on databases other than PostgreSQL and SQLite."""
    fields = apps.get_model("sagas", "SagaEvent")._meta.local_concrete_fields
    columns = ", ".join(field.column for field in fields if field.column != "actor_id")
    for statement in GUARD.get(schema_editor.connection.vendor, []):
        schema_editor.execute(statement.replace("{columns}", columns), params=None)


def unguard(_: Any, schema_editor: Any) -> None:
    """Drop the triggers. The reverse of `guard`, for `RunPython`."""
    for statement in UNGUARD.get(schema_editor.connection.vendor, []):
        schema_editor.execute(statement, params=None)
