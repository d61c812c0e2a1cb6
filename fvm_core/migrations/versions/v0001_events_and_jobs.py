"""The tables of 0.1: events and jobs. Its databases have them already, without a version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make what is missing."""
    op.create_table(
        "decision_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("batch", sa.String(64), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("sample", sa.Text, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("old_label", sa.Text),
        sa.Column("new_label", sa.Text),
        sa.Column("score", sa.Float),
        sa.Column("rank", sa.Integer),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("undoes", sa.Integer, sa.ForeignKey("decision_events.id")),
        sa.UniqueConstraint("run", "key"),
        if_not_exists=True,
    )
    op.create_index("decision_events_run_row", "decision_events", ["run", "row"], if_not_exists=True)
    op.create_index("decision_events_undoes", "decision_events", ["undoes"], if_not_exists=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_path", sa.Text, nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("pid_started", sa.Float),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("started", sa.Float),
        sa.Column("ended", sa.Float),
        sa.Column("heartbeat", sa.Float),
        sa.Column("cancel_asked", sa.Float),
        if_not_exists=True,
    )
