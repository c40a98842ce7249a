"""Create a million executions and their four million step runs in SQL, in PostgreSQL.

Of a hundred executions, 92 have succeeded and five have failed and were compensated. The others are partially
compensated, held, waiting or running. They are spread over 90 days. Each execution has three references and, if it has
started, four step runs.
"""

from typing import Any

EXECUTIONS = 1_000_000

# The kind of a row follows from its number n and from hashes of n, so that each run creates the same mix.
ROWS = """
CREATE TEMPORARY TABLE seed AS
SELECT n, (hashint4(n) & 2147483647) %% 1000 AS lot, (hashint4(n + 7) & 2147483647) %% 1000 AS other,
       now() - interval '90 days' * (1 - n::float8 / %(count)s) AS at
FROM generate_series(1, %(count)s) AS n
"""
KINDS = """
ALTER TABLE seed ADD COLUMN kind text;
UPDATE seed SET kind = CASE
    WHEN lot < 920 THEN 'succeeded'
    WHEN lot < 970 THEN 'failed'
    WHEN lot < 975 THEN 'partially_compensated'
    WHEN lot < 976 THEN 'held'
    WHEN n <= %(count)s * 0.99 THEN 'succeeded'
    WHEN lot < 980 THEN 'compensating'
    WHEN lot < 990 THEN 'pending'
    ELSE 'in_progress' END
"""
INSERT_EXECUTIONS = """
INSERT INTO sagas_execution (
    saga_id, saga_name, state, input, context, plan, run, steps_completed, failed_step, compensation_performed,
    needs_attention, held, priority, created_at, started_at, finished_at, input_hash, version, leased, lost, due_at,
    rank_at, wants, recoveries, worker, action_started, pivot_reached, budget_since, keys_since
)
SELECT
    'sale-' || n, saga, CASE WHEN kind = 'held' THEN 'in_progress' ELSE kind END, context, context,
    '["' || array_to_string(steps, '","') || '"]', 1,
    CASE WHEN kind = 'succeeded' THEN '["' || array_to_string(steps, '","') || '"]'
         WHEN kind = 'pending' THEN '[]' ELSE '["' || steps[1] || '"]' END,
    CASE WHEN kind IN ('failed', 'partially_compensated', 'compensating') THEN steps[2 + other %% 3] ELSE '' END,
    kind IN ('failed', 'partially_compensated'),
    kind IN ('held', 'partially_compensated') OR (kind = 'failed' AND other %% 10 = 0),
    CASE WHEN kind = 'held' THEN 'Held by an operator: the customer calls back' ELSE '' END,
    CASE WHEN other < 10 THEN 2 WHEN other < 30 THEN 0 ELSE 1 END,
    at, at, CASE WHEN kind IN ('succeeded', 'failed', 'partially_compensated')
                 THEN at + interval '1 millisecond' * (50 + other * other / 100) END,
    '', 9, kind = 'in_progress' AND other < 50, FALSE,
    CASE WHEN kind IN ('pending', 'in_progress', 'compensating') THEN now() + interval '1 second' * other END,
    NULL, NULL, 0, '', NULL, FALSE, 0, 0
FROM (
    SELECT *, CASE WHEN n %% 2 = 0 THEN 'create_booking' ELSE 'collect_payment' END AS saga,
        CASE WHEN n %% 2 = 0 THEN ARRAY['create_nf', 'send_email', 'send_whatsapp', 'add_calendar']
             ELSE ARRAY['process_payment', 'create_invoice', 'send_receipt', 'log_analytics'] END AS steps,
        json_build_object('sale_id', 'SALE-' || n, 'customer_name', 'Ana Souza', 'customer_email',
            'customer' || n / 3 || '@example.com', 'description', 'City tour', 'amount', '420.00', 'currency', 'BRL',
            'starts_at', '2030-12-01T10:00:00-03:00', 'payment_id', 'pi_' || md5(n::text))::text AS context
    FROM seed
) AS made ORDER BY n
"""
INSERT_REFERENCES = """
INSERT INTO sagas_reference (execution_id, key, value)
SELECT id, key, value FROM sagas_execution, LATERAL (VALUES
    ('sale_id', saga_id), ('customer_email', 'customer' || substr(saga_id, 6)::int / 3 || '@example.com'),
    (CASE saga_name WHEN 'create_booking' THEN 'invoice_ref' ELSE 'payment_id' END, 'pi_' || md5(substr(saga_id, 6)))
) AS of_it (key, value)
"""
# In a failed execution, step run 2 is the failed step, and step runs 3 and 4 compensate the first step.
INSERT_RUNS = """
INSERT INTO sagas_steprun (
    id, execution_id, step, direction, run, attempt, outcome, output, changes, error_type, error_message,
    idempotency_key, started_at, finished_at, worker, sequence, ending, resolution
)
SELECT
    gen_random_uuid(), id, CASE WHEN ends AND place > 2 THEN plan::json->>0 WHEN ends AND place = 2 THEN failed_step
                           ELSE plan::json->>(place - 1) END,
    CASE WHEN ends AND place > 2 THEN 'compensation' ELSE 'action' END, 1, place,
    CASE WHEN NOT ends OR place IN (1, 4) THEN CASE WHEN state = 'partially_compensated' AND place = 4
                                                    THEN 'uncertain' ELSE 'succeeded' END
         WHEN id %% 4 = 0 THEN 'uncertain' ELSE 'failed' END,
    NULL, '{}', CASE WHEN ends AND place IN (2, 3) THEN (ARRAY[
        'StepFailed', 'StepFailed', 'StepFailed', 'ProviderUnavailable', 'OutcomeUnknown', 'StepTimeout', 'KeyError'
    ])[1 + (id / 4) %% 7] ELSE '' END, CASE WHEN ends AND place IN (2, 3) THEN 'The provider refused' ELSE '' END,
    saga_id || ':1:' || place, created_at + interval '10 ms' * place, created_at + interval '10 ms' * (place + 1),
    'host:1:abc', place, CASE WHEN ends AND place = 2 THEN 'refused' ELSE '' END, ''
FROM sagas_execution, generate_series(1, 4) AS place,
    LATERAL (SELECT failed_step <> '' AS ends) AS fate
WHERE state <> 'pending'
"""


def seed(count: int = EXECUTIONS) -> None:
    """Empty the database of DATABASE_URL, which must be a PostgreSQL test database, and create the executions."""
    from django.core.management import call_command
    from django.db import connection

    call_command("flush", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for statement in (ROWS, KINDS, INSERT_EXECUTIONS, INSERT_REFERENCES, INSERT_RUNS):
            cursor.execute(statement, {"count": count})
        cursor.execute("DROP TABLE seed")
        cursor.execute("VACUUM ANALYZE sagas_execution, sagas_steprun, sagas_reference")


def shape() -> dict[str, Any]:
    """Return the number of rows of each kind, for the report."""
    from django.db.models import Count

    from sagas.models import SagaExecution, SagaReference, StepRun

    states = SagaExecution.objects.order_by().values_list("state").annotate(Count("id"))
    return {
        "executions": {state.value: count for state, count in states},
        "step runs": StepRun.objects.count(),
        "references": SagaReference.objects.count(),
    }
