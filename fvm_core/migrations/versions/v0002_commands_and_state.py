"""Commands with their outcome, and the current state of every sample that was ever decided.

The state is what `decision_events` says; it is kept beside them so that one decision among a million costs
as much as the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both tables and fill the state from the events."""
    op.create_table(
        "decision_commands",
        sa.Column("run", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(64)),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("refusal", sa.Text),
    )
    op.create_index("decision_commands_run_target", "decision_commands", ["run", "target"])
    op.create_index("decision_commands_run_reviewer_at", "decision_commands", ["run", "reviewer", "at"])
    op.create_table(
        "decision_state",
        sa.Column("run", sa.String(64), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sample", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("new_label", sa.Text),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("event", sa.Integer, sa.ForeignKey("decision_events.id")),
        sa.Column("version", sa.String(64), nullable=False),
    )
    op.create_index("decision_state_run_state", "decision_state", ["run", "state"])
    op.create_index("decision_events_run_batch", "decision_events", ["run", "batch"])
    op.execute(
        """
        INSERT INTO decision_state (run, "row", sample, state, new_label, reviewer, at, event, version)
        SELECT newest.run, newest."row", newest.sample,
               CASE standing.action WHEN 'relabel' THEN 'relabelled' WHEN 'keep' THEN 'kept'
                    WHEN 'exclude' THEN 'excluded' WHEN 'unsure' THEN 'unsure' ELSE 'unreviewed' END,
               standing.new_label, COALESCE(standing.reviewer, newest.reviewer),
               COALESCE(standing.at, newest.at), standing.id, newest.batch
        FROM (SELECT MAX(id) AS id FROM decision_events GROUP BY run, "row") AS last
        JOIN decision_events AS newest ON newest.id = last.id
        LEFT JOIN (
            SELECT run, "row", MAX(id) AS id FROM decision_events
            WHERE action <> 'undo'
              AND id NOT IN (SELECT undoes FROM decision_events WHERE undoes IS NOT NULL)
            GROUP BY run, "row"
        ) AS kept ON kept.run = newest.run AND kept."row" = newest."row"
        LEFT JOIN decision_events AS standing ON standing.id = kept.id
        """
    )
    op.execute(
        """
        INSERT INTO decision_commands (run, key, kind, target, reviewer, at, refusal)
        SELECT event.run, event.batch, MIN(CASE event.action WHEN 'undo' THEN 'undo' ELSE 'decide' END),
               MIN(undone.batch), MIN(event.reviewer), MAX(event.at), NULL
        FROM decision_events AS event
        LEFT JOIN decision_events AS undone ON undone.id = event.undoes
        GROUP BY event.run, event.batch
        """
    )
