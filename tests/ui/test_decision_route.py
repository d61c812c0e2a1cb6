"""The endpoint that takes decisions, through the app's own server code."""

import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fvm_core.access.people import NotSignedIn
from fvm_core.review.decisions import DecisionStore
from tests.ui import runs
from ui import review_view, run_lookup
from ui.decision_route import MOST_BYTES, MOST_COMMANDS, PATH, route


@pytest.fixture
def place(workspace):
    run_lookup._places.clear()
    return Place(workspace)


class Place:
    """A server, two runs and the store behind them."""

    def __init__(self, workspace, signed_in=None):
        self.workspace = workspace
        self.run = runs.finished_run(workspace, "one", limit=60)
        self.other = runs.finished_run(workspace, "two", limit=80)
        self.store = DecisionStore(workspace.database)
        self.scores = self.run.scores
        self.signed_in = signed_in
        self.client = TestClient(Starlette(routes=[route(lambda request: self.signed_in)]))

    def send(self, *commands, watch=None, status=200):
        body = {"commands": list(commands), **({"watch": watch} if watch else {})}
        answer = self.client.post(PATH, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def outcomes(self, *commands):
        return [result["outcome"] for result in self.send(*commands)["results"]]

    def decide(self, key, row, action="keep", label=None, version="", **more):
        item = {
            "sample": self.scores["id"][row],
            "row": row,
            "given": self.scores["given_label"][row],
            "action": action,
            "label": label,
            "version": version,
            **more,
        }
        return self.command(key, "decide", items=[item])

    def command(self, key, kind, **more):
        data = review_view.data_of(self.run)
        return {"key": key, "kind": kind, "run": self.run.id, "data": data, "reviewer": "ana", **more}

    def states(self, run=None):
        return self.store.state((run or self.run).id)["state"].to_dict()


def test_a_list_that_comes_again_changes_nothing(place):
    sent = [
        place.decide("a", 1),
        place.decide("b", 2, "relabel", "7"),
        place.command("c", "undo", target="b"),
    ]
    assert place.outcomes(*sent) == ["done"] * 3
    assert place.outcomes(*sent, place.decide("d", 3, "exclude")) == ["done"] * 4
    assert place.states() == {1: "kept", 3: "excluded"}


def test_an_undo_before_a_refused_command_is_made_once(place):
    place.outcomes(place.decide("a", 1), place.decide("b", 2), place.decide("c", 3))
    sent = [place.command("u", "undo", target="c"), place.decide("x", 1, "exclude", version="wrong")]
    for _ in range(4):
        assert place.outcomes(*sent) == ["done", "refused"]
    assert place.states() == {1: "kept", 2: "kept"}


def test_a_command_lands_in_the_run_that_it_names(place):
    differs = next(n for n, name in enumerate(place.other.scores["id"]) if name != place.scores["id"][n])
    command = place.decide("a", differs)
    command["run"] = place.other.id
    assert place.outcomes(command) == ["refused"]  # other data
    command["data"] = review_view.data_of(place.other)
    assert place.outcomes(command) == ["refused"]  # another sample in that row
    command["run"] = "nosuchrun"
    assert place.outcomes(command) == ["parked"]
    assert place.states() == place.states(place.other) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"row": 99_999}, "has no sample"),
        ({"row": -1}, "has no sample"),
        ({"row": "1"}, "has no sample"),
        ({"row": True}, "has no sample"),
        ({"row": 2}, "has no sample"),
        ({"sample": "x"}, "has no sample"),
        ({"sample": None}, "has no sample"),
        ({"action": "delete"}, "is no decision"),
        ({"action": None}, "is no decision"),
        ({"action": "relabel", "label": "no such label"}, "has no label"),
        ({"action": "relabel", "label": None}, "has no label"),
        ({"action": "relabel", "label": ["7"]}, "has no label"),
        ({"given": "no such label"}, "you saw 'no such label'"),
        ({"version": None}, "can't be read"),
        ({"version": "other"}, "before this one is not in the database"),
    ],
)
def test_an_item_that_does_not_fit_is_refused(place, change, words):
    command = place.decide("a", 1)
    command["items"][0].update(change)
    result = place.send(command)["results"][0]
    assert result["outcome"] == "refused"
    assert words in result["reason"]
    assert place.states() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": "k" * 99},
        {"key": 7},
        {"key": "a\n"},
        {"kind": "drop"},
        {"kind": None},
        {"items": []},
        {"items": "all"},
        {"items": [7]},
        {"reviewer": ""},
        {"reviewer": "  \n"},
        {"reviewer": None},
        {"data": "other"},
        {"kind": "undo"},
        {"kind": "undo", "target": ["a"]},
        {"kind": "accept"},
        {"kind": "accept", "ranking": "x", "filter": {}, "expected": 3},
    ],
)
def test_a_command_that_does_not_fit_is_refused(place, change):
    result = place.send({**place.decide("a", 1), **change})["results"][0]
    assert result["outcome"] == "refused"
    assert result["reason"]
    assert place.states() == {}


@pytest.mark.parametrize("command", [None, 7, "x", [], {}])
def test_what_is_no_command_is_refused_and_the_others_are_carried_out(place, command):
    assert place.outcomes(command, place.decide("a", 1)) == ["refused", "done"]


def test_two_decisions_on_one_sample_in_one_command_are_refused(place):
    command = place.decide("a", 1)
    command["items"] *= 2
    assert place.outcomes(command) == ["refused"]


def test_only_json_of_a_bounded_size_is_read(place):
    assert place.client.get(PATH).status_code == 405
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = place.client.post(PATH, content="{}", headers={"content-type": kind})
        assert answer.status_code == 415  # what a page of another site can send without being asked
    for body in ("", "[]", "null", "{", '{"commands": 7}', '"\ud800"'.encode("utf-8", "surrogatepass")):
        answer = place.client.post(PATH, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
    many = json.dumps({"commands": [{}] * (MOST_COMMANDS + 1)})
    assert (
        place.client.post(PATH, content=many, headers={"content-type": "application/json"}).status_code == 413
    )
    long = b" " * (MOST_BYTES + 1)
    assert (
        place.client.post(PATH, content=long, headers={"content-type": "application/json"}).status_code == 413
    )


def test_the_audit_knows_score_rank_and_labels(place):
    place.send(place.decide("a", 5, "relabel", "7"))
    event = place.store.audit(place.run.id).iloc[0]
    assert event["old_label"] == place.scores["given_label"][5]
    assert event["new_label"] == "7"
    assert event["score"] == pytest.approx(place.scores["suspicion"][5])
    assert event["rank"] == (place.scores["suspicion"] > place.scores["suspicion"][5]).sum() + 1
    assert event["sample"] == place.scores["id"][5]
    assert event["reviewer"] == "ana"


def test_who_is_signed_in_signs_and_nobody_else(place):
    place.signed_in = "bo"
    result = place.send(place.decide("a", 1))["results"][0]
    assert result["outcome"] == "parked"
    assert "Made by ana, you are signed in as bo" in result["reason"]
    assert place.states() == {}
    place.signed_in = "ana"
    assert place.outcomes(place.decide("a", 1)) == ["done"]


def test_without_a_sign_in_that_holds_nothing_is_taken_or_told(workspace):
    def nobody(request):
        raise NotSignedIn

    client = TestClient(Starlette(routes=[route(nobody)]))
    assert client.post(PATH, json={"commands": [], "watch": {"run": "x"}}).status_code == 401


def test_what_is_watched_is_told(place):
    place.send(place.decide("a", 1), place.decide("b", 2, "relabel", "7"))
    watch = {"run": place.run.id, "rows": [0, 1, 2], "reviewer": "ana", "filter": {"above": 50.0}}
    told = place.send(watch=watch)["watch"]
    assert told["states"] == {"1": ["kept", None, "ana", "a"], "2": ["relabelled", "7", "ana", "b"]}
    assert told["revision"] == place.store.revision(place.run.id)
    assert [last["key"] for last in told["undoable"]] == ["b", "a"]
    assert told["undoable"][0]["label"] == "7"
    scores = place.scores
    open_rows = (scores["percentile"] >= 50) & (scores["given_label"] != scores["suggested_label"])
    open_rows[[1, 2]] = False
    assert told["acceptable"] == open_rows.sum()
    for wrong in ({"run": "x"}, {"run": place.run.id, "rows": ["1"]}, {"run": place.run.id, "rows": 7}):
        assert place.send(watch=wrong)["watch"] is None


def test_a_filter_is_accepted_once_and_taken_back_at_once(place):
    wanted = {"above": 66.0}
    watch = {"run": place.run.id, "rows": [], "filter": wanted}
    count = place.send(watch=watch)["watch"]["acceptable"]
    ranking = review_view.ranking_of(place.run)
    accept = place.command("all", "accept", ranking=ranking, filter=wanted, expected=count)
    assert place.outcomes(accept, accept) == ["done", "done"]
    different = place.scores["given_label"] != place.scores["suggested_label"]
    assert count == ((place.scores["percentile"] >= 66) & different).sum() > 0
    assert place.store.counts(place.run.id)["relabelled"] == count
    again = {**accept, "key": "again"}  # a second click that made a command of its own
    result = place.send(again)["results"][0]
    assert result["outcome"] == "refused"
    assert "0 samples of this filter are open now" in result["reason"]
    assert place.outcomes(place.command("u", "undo", target="all")) == ["done"]
    assert place.states() == {}
    assert place.outcomes({**accept, "key": "other", "ranking": "older"}) == ["refused"]


def test_a_database_that_is_gone_is_told_and_nothing_is_called_done(place):
    place.send(place.decide("a", 1))
    (place.workspace.path / "saltflat.db").unlink()
    told = place.send(place.decide("b", 2), place.decide("c", 3), status=503)
    assert "deleted or moved away" in told["reason"]
    assert [result["outcome"] for result in told["results"]] == ["later"]
